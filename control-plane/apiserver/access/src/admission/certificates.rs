//! CertificateApproval, CertificateSigning, ClusterTrustBundleAttest, CertificateSubjectRestriction: who may act for a
//! signer, and what no client certificate may say.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::Status;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::{is, is_main, refuse};
use crate::names::MASTERS;
use crate::types::{AdmissionPlugin, AdmissionRequest, Attributes, Authorizer, Decision, Operation, Phase};
use crate::value::text;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// The three that ask whether the user may act for the signer.
macro_rules! signer_plugin {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name {
            authorizer: Arc<dyn Authorizer>,
        }

        impl $name {
            pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
                Self { authorizer }
            }
        }
    };
}

signer_plugin!(
    /// Approving and denying takes `approve` on the signer.
    CertificateApproval
);
signer_plugin!(
    /// Issuing takes `sign` on the signer.
    CertificateSigning
);
signer_plugin!(
    /// Publishing a signer's trust anchors takes `attest` on it.
    ClusterTrustBundleAttest
);

/// For this signer, or for all of its domain.
async fn may(authorizer: &dyn Authorizer, request: &AdmissionRequest<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_string(), format!("{domain}/*")] {
        let asked = Attributes {
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..Attributes::of_resources(request.user.clone(), verb)
        };
        if matches!(authorizer.authorize(&asked).await, Decision::Allow(_)) {
            return true;
        }
    }
    false
}

#[async_trait]
impl AdmissionPlugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        let csr = is(request, GROUP, "certificatesigningrequests");
        phase == Phase::Validate && csr && request.subresource == "approval"
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let signer = text(request.old_object.unwrap_or(&Value::Null), &["spec", "signerName"]);
        if may(&*self.authorizer, request, "approve", signer).await {
            return Ok(());
        }
        Err(refuse(request, format!("user not permitted to approve requests with signerName {signer:?}")))
    }
}

#[async_trait]
impl AdmissionPlugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        let csr = is(request, GROUP, "certificatesigningrequests");
        phase == Phase::Validate && csr && request.subresource == "status"
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let (Some(new), Some(old)) = (request.object.as_deref(), request.old_object) else { return Ok(()) };
        let same = |field: &str| new["status"][field] == old["status"][field];
        let signer = text(old, &["spec", "signerName"]);
        if same("certificate") && same("conditions") || may(&*self.authorizer, request, "sign", signer).await
        {
            return Ok(());
        }
        Err(refuse(request, format!("user not permitted to sign requests with signerName {signer:?}")))
    }
}

#[async_trait]
impl AdmissionPlugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && is_main(request, GROUP, "clustertrustbundles")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(new) = request.object.as_deref() else { return Ok(()) };
        // A deletion under way takes its finalizers off: nothing is attested by that.
        if request.old_object.is_some_and(|old| old["spec"] == new["spec"]) {
            return Ok(());
        }
        let signer = text(new, &["spec", "signerName"]);
        if signer.is_empty() || may(&*self.authorizer, request, "attest", signer).await {
            return Ok(());
        }
        Err(refuse(request, format!("user not permitted to attest for signerName {signer:?}")))
    }
}

/// No client certificate makes its owner a master of the cluster.
pub struct CertificateSubjectRestriction;

#[async_trait]
impl AdmissionPlugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && is_main(request, GROUP, "certificatesigningrequests")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(csr) = request.object.as_deref() else { return Ok(()) };
        if text(csr, &["spec", "signerName"]) != CLIENT_SIGNER {
            return Ok(());
        }
        match organizations(text(csr, &["spec", "request"])) {
            Err(why) => Err(refuse(request, format!("failed to parse CSR: {why}"))),
            Ok(groups) if groups.iter().any(|group| group == MASTERS) => Err(refuse(
                request,
                format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"),
            )),
            Ok(_) => Ok(()),
        }
    }
}

/// The organisations in the subject of a request in PEM, in base64.
fn organizations(request: &str) -> Result<Vec<String>, String> {
    let pem = STANDARD.decode(request).map_err(|error| error.to_string())?;
    let missing = "PEM block type must be CERTIFICATE REQUEST";
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).map_err(|_| missing.to_string())?;
    let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|error| error.to_string())?;
    let organizations = parsed.certification_request_info.subject.iter_organization();
    Ok(organizations.filter_map(|o| o.as_str().ok()).map(str::to_string).collect())
}
