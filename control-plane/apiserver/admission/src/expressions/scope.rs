//! The variables that expressions see. (`admission/plugin/cel/compile.go`)

use std::sync::LazyLock;

use oarlock_cel::{Environment, Type};

/// Which of the optional variables there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scope {
    pub(crate) params: bool,
    pub(crate) authorizer: bool,
    /// Object and JSONPatch literals.
    pub(crate) mutation: bool,
}

impl Scope {
    /// Of a webhook's match conditions.
    pub(crate) fn webhook() -> Self {
        Self { params: false, authorizer: true, mutation: false }
    }

    pub(crate) fn policy(params: bool) -> Self {
        Self { params, authorizer: true, mutation: false }
    }

    pub(crate) fn mutating(params: bool) -> Self {
        Self { params, authorizer: true, mutation: true }
    }

    /// Messages are written without asking who may do what.
    pub(crate) fn without_authorizer(self) -> Self {
        Self { authorizer: false, ..self }
    }

    /// With objects of which nothing is known.
    pub(crate) fn environment(self) -> Environment {
        self.environment_of(Type::Dyn, Type::Dyn)
    }

    /// With objects and params of known types.
    pub(crate) fn environment_of(
        self,
        object: impl Into<oarlock_cel::Decl> + Clone,
        params: impl Into<oarlock_cel::Decl>,
    ) -> Environment {
        let mut environment = Environment::kubernetes()
            .variable("object", object.clone())
            .variable("oldObject", object)
            .variable("request", REQUEST.clone())
            .variable("namespaceObject", NAMESPACE.clone());
        if self.params {
            environment = environment.variable("params", params);
        }
        if self.authorizer {
            environment = environment
                .variable("authorizer", Type::authorizer())
                .variable("authorizer.requestResource", Type::resource_check());
        }
        if self.mutation { environment.mutation() } else { environment }
    }
}

fn texts() -> Type {
    Type::list(Type::String)
}

/// The AdmissionRequest without its objects, which are variables of their own.
static REQUEST: LazyLock<Type> = LazyLock::new(|| {
    let names = |kind: &'static str, last: &'static str| {
        let fields = [("group", Type::String), ("version", Type::String), (last, Type::String)];
        Type::object(kind, fields.map(|(name, ty)| (name, ty.into())))
    };
    let kind = names("kubernetes.GroupVersionKind", "kind");
    let resource = names("kubernetes.GroupVersionResource", "resource");
    let user = Type::object(
        "kubernetes.UserInfo",
        [
            ("username", Type::String.into()),
            ("uid", Type::String.into()),
            ("groups", texts().into()),
            ("extra", Type::map(Type::String, texts()).into()),
        ],
    );
    Type::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.clone().into()),
            ("resource", resource.clone().into()),
            ("subResource", Type::String.into()),
            ("requestKind", kind.into()),
            ("requestResource", resource.into()),
            ("requestSubResource", Type::String.into()),
            ("name", Type::String.into()),
            ("namespace", Type::String.into()),
            ("operation", Type::String.into()),
            ("userInfo", user.into()),
            ("dryRun", Type::Bool.into()),
            ("options", Type::Dyn.into()),
        ],
    )
});

/// A Namespace without what expressions have no business with.
static NAMESPACE: LazyLock<Type> = LazyLock::new(|| {
    let condition = Type::object(
        "kubernetes.NamespaceCondition",
        [
            ("status", Type::String.into()),
            ("type", Type::String.into()),
            ("lastTransitionTime", Type::Timestamp.into()),
            ("message", Type::String.into()),
            ("reason", Type::String.into()),
        ],
    );
    let metadata = Type::object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", Type::String.into()),
            ("generateName", Type::String.into()),
            ("namespace", Type::String.into()),
            ("labels", Type::map(Type::String, Type::String).into()),
            ("annotations", Type::map(Type::String, Type::String).into()),
            ("UID", Type::String.into()),
            ("creationTimestamp", Type::Timestamp.into()),
            ("deletionGracePeriodSeconds", Type::Int.into()),
            ("deletionTimestamp", Type::Timestamp.into()),
            ("generation", Type::Int.into()),
            ("resourceVersion", Type::String.into()),
            ("finalizers", texts().into()),
        ],
    );
    let status = Type::object(
        "kubernetes.NamespaceStatus",
        [("conditions", Type::list(condition).into()), ("phase", Type::String.into())],
    );
    Type::object(
        "kubernetes.Namespace",
        [
            ("metadata", metadata.into()),
            ("spec", Type::object("kubernetes.NamespaceSpec", [("finalizers", texts().into())]).into()),
            ("status", status.into()),
        ],
    )
});
