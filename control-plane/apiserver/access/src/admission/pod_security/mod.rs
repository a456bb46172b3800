//! PodSecurity: pods keep to the Pod Security Standard of their namespace. (KEP-2579)
//!
//! What is enforced is enforced of pods only; of what makes pods it is warned and audited.

mod checks;
mod config;
mod policy;
mod workloads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use oarlock_api::{FieldErrors, GroupKind, Status};
use serde_json::Value;

pub use config::PodSecurityConfig;
pub use policy::{Level, LevelVersion, Policy, PolicyVersion};

use super::{is, refuse};
use crate::metrics::AccessMetrics;
use crate::resources::{NAMESPACES, PODS};
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{name, text};

const ANNOTATION: &str = "pod-security.kubernetes.io/";
/// A namespace's pods are looked at when it becomes stricter, but not for ever.
const PODS_LOOKED_AT: usize = 3000;
const LOOK_AT_MOST: Duration = Duration::from_secs(1);

pub struct PodSecurity {
    objects: Arc<dyn Objects>,
    config: PodSecurityConfig,
    metrics: AccessMetrics,
}

/// A pod, or the template of pods, in a request.
struct Subject<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    enforced: bool,
}

impl PodSecurity {
    pub fn new(objects: Arc<dyn Objects>, config: PodSecurityConfig, metrics: AccessMetrics) -> Self {
        Self { objects, config, metrics }
    }

    async fn namespace(&self, name: &str) -> Result<Arc<Value>, Status> {
        let found = match self.objects.get(&NAMESPACES, "", name) {
            Some(known) => Some(known),
            None => self.objects.get_fresh(&NAMESPACES, "", name).await?,
        };
        found.ok_or_else(|| Status::internal(format!("failed to look up namespace {name:?}")))
    }

    fn policy(&self, namespace: &Value) -> (Policy, FieldErrors) {
        Policy::of(namespace, &self.config.defaults)
    }

    fn check_namespace(&self, of: &AdmissionRequest<'_>) -> Result<(), Status> {
        let AdmissionRequest { object, old_object, operation, .. } = of;
        let Some(namespace) = object.as_deref() else { return Ok(()) };
        let (policy, errors) = self.policy(namespace);
        let exempt = self.config.exempt_namespaces.iter().any(|exempt| exempt == name(namespace));
        if *operation == Operation::Create {
            valid(namespace, &errors)?;
            if exempt {
                self.ignored(namespace, &policy).into_iter().for_each(|warning| of.warn(warning));
            }
            return Ok(());
        }
        let Some(old) = old_object else { return Ok(()) };
        let (old_policy, old_errors) = self.policy(old);
        if told(&errors) != told(&old_errors) {
            valid(namespace, &errors)?;
        }
        if exempt {
            if !policy.equals(&old_policy) {
                self.ignored(namespace, &policy).into_iter().for_each(|warning| of.warn(warning));
            }
            return Ok(());
        }
        let (new, was) = (policy.enforce, old_policy.enforce);
        let relaxed = new.version == was.version && new.level <= was.level;
        if new != was && new.level != Level::Privileged && !relaxed {
            self.look_at_pods(name(namespace), new).into_iter().for_each(|warning| of.warn(warning));
        }
        Ok(())
    }

    fn ignored(&self, namespace: &Value, policy: &Policy) -> Option<String> {
        if policy.is_privileged() || policy.equals(&self.config.defaults) {
            return None;
        }
        let (name, policy) = (name(namespace), policy.said_by(namespace));
        Some(format!(
            "namespace {name:?} is exempt from Pod Security, and the policy ({policy}) will be ignored"
        ))
    }

    /// What the pods that are there would be told.
    fn look_at_pods(&self, namespace: &str, enforce: LevelVersion) -> Vec<String> {
        let mut pods = self.objects.list(&PODS, namespace);
        pods.sort_by(|a, b| name(a).cmp(name(b)));
        let deadline = Instant::now() + LOOK_AT_MOST;
        let mut looked_at = 0;
        // By what is wrong: the first pod, and how many.
        let mut wrong: std::collections::BTreeMap<String, (String, usize)> = Default::default();
        for pod in pods.iter().take(PODS_LOOKED_AT) {
            looked_at += 1;
            if !self.is_exempt_class(&pod["spec"]) {
                let findings = checks::evaluate(enforce, &pod["metadata"], &pod["spec"]);
                if !findings.is_empty() {
                    let entry = wrong.entry(checks::reasons(&findings));
                    entry.or_insert_with(|| (name(pod).to_string(), 0)).1 += 1;
                }
            }
            if Instant::now() > deadline {
                break;
            }
        }
        let mut warnings = Vec::new();
        if looked_at < pods.len() {
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {looked_at} of {} existing pods",
                pods.len()
            ));
        }
        if !wrong.is_empty() {
            warnings.push(format!(
                "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{enforce}\""
            ));
        }
        let mut lines: Vec<String> = wrong
            .into_iter()
            .map(|(reasons, (first, count))| match count {
                1 => format!("{first}: {reasons}"),
                2 => format!("{first} (and 1 other pod): {reasons}"),
                more => format!("{first} (and {} other pods): {reasons}", more - 1),
            })
            .collect();
        lines.sort();
        warnings.extend(lines);
        warnings
    }

    fn is_exempt_class(&self, spec: &Value) -> bool {
        let class = text(spec, &["runtimeClassName"]);
        !class.is_empty() && self.config.exempt_runtime_classes.iter().any(|exempt| exempt == class)
    }

    /// Whether the request needs no look at its pod: who or where it is may be exempt.
    fn exemption(&self, request: &AdmissionRequest<'_>) -> Option<&'static str> {
        let has = |list: &[String], name: &str| !name.is_empty() && list.iter().any(|exempt| exempt == name);
        if has(&self.config.exempt_namespaces, request.namespace) {
            return Some("namespace");
        }
        has(&self.config.exempt_users, &request.user.name).then_some("user")
    }

    fn exempt(&self, request: &AdmissionRequest<'_>, reason: &str) {
        request.annotations.add(format!("{ANNOTATION}exempt"), reason);
        self.metrics.exempted(request);
    }

    fn judge(
        &self,
        of: &AdmissionRequest<'_>,
        subject: &Subject<'_>,
        policy: &Policy,
        errors: &FieldErrors,
    ) -> Result<(), Status> {
        if self.is_exempt_class(subject.spec) {
            self.exempt(of, "runtimeClass");
            return Ok(());
        }
        if !errors.is_empty() {
            let why = format!("failed to parse policy: {}", told(errors));
            of.annotations.add(format!("{ANNOTATION}error"), why);
            self.metrics.failed(of);
        }
        let evaluate = |mode: LevelVersion| checks::evaluate(mode, subject.metadata, subject.spec);
        let mut refused = None;
        if subject.enforced {
            let enforce = policy.enforce;
            of.annotations.add(format!("{ANNOTATION}enforce-policy"), enforce.to_string());
            let findings = evaluate(enforce);
            self.metrics.evaluated(of, !findings.is_empty(), "enforce", enforce);
            if !findings.is_empty() {
                refused = Some(refuse(
                    of,
                    format!("violates PodSecurity \"{enforce}\": {}", checks::details(&findings)),
                ));
            }
        }
        let would = |mode: LevelVersion| {
            let findings = evaluate(mode);
            (!findings.is_empty())
                .then(|| format!("would violate PodSecurity \"{mode}\": {}", checks::details(&findings)))
        };
        if let Some(told) = would(policy.audit) {
            of.annotations.add(format!("{ANNOTATION}audit-violations"), told);
            self.metrics.evaluated(of, true, "audit", policy.audit);
        }
        if let Some(status) = refused {
            return Err(status);
        }
        if let Some(told) = would(policy.warn) {
            self.metrics.evaluated(of, true, "warn", policy.warn);
            of.warn(told);
        }
        Ok(())
    }

    async fn check_workload(&self, of: &AdmissionRequest<'_>) -> Result<(), Status> {
        let pods = is(of, "", "pods");
        if let Some(reason) = self.exemption(of) {
            self.exempt(of, reason);
            return Ok(());
        }
        let namespace = self.namespace(of.namespace).await?;
        let (policy, errors) = self.policy(&namespace);
        let silent = policy.audit.level == Level::Privileged && policy.warn.level == Level::Privileged;
        if errors.is_empty() && silent && (!pods || policy.enforce.level == Level::Privileged) {
            if pods {
                let enforce = policy.enforce.to_string();
                of.annotations.add(format!("{ANNOTATION}enforce-policy"), enforce);
            }
            return Ok(());
        }
        let Some(object) = of.object.as_deref() else { return Ok(()) };
        if pods {
            if let Some(old) = of.old_object
                && of.operation == Operation::Update
                && !workloads::is_significant(object, old)
            {
                return Ok(());
            }
            let subject = Subject { metadata: &object["metadata"], spec: &object["spec"], enforced: true };
            return self.judge(of, &subject, &policy, &errors);
        }
        let Some(template) = workloads::template(of.resource, object) else { return Ok(()) };
        let subject = Subject { metadata: &template["metadata"], spec: &template["spec"], enforced: false };
        self.judge(of, &subject, &policy, &errors)
    }
}

fn told(errors: &FieldErrors) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    crate::authorization::aggregated(&lines)
}

fn valid(namespace: &Value, errors: &FieldErrors) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("", "Namespace"), name(namespace), errors))
}

#[async_trait]
impl AdmissionPlugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && workloads::concerns(request)
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        if is(request, "", "namespaces") {
            self.check_namespace(request)
        } else {
            self.check_workload(request).await
        }
    }
}

#[cfg(test)]
mod tests;
