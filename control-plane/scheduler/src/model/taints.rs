//! Taints and the tolerations that answer them.

use k8s_openapi::api::core::v1 as core;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: Effect,
}

impl Taint {
    pub(super) fn parse(taint: &core::Taint) -> Option<Self> {
        let effect = Effect::parse(&taint.effect)?;
        Some(Self { key: taint.key.clone(), value: taint.value.clone().unwrap_or_default(), effect })
    }

    /// Whether it keeps pods away, and does not merely advise against the node.
    pub fn forbids(&self) -> bool {
        self.effect != Effect::PreferNoSchedule
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toleration {
    /// Empty: every key.
    key: String,
    /// `None`: every value.
    value: Option<String>,
    /// `None`: every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// `None` for what tolerates nothing: an operator or effect that is not known.
    pub(super) fn parse(toleration: &core::Toleration) -> Option<Self> {
        let value = match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => Some(toleration.value.clone().unwrap_or_default()),
            "Exists" => None,
            _ => return None,
        };
        let effect = match toleration.effect.as_deref().unwrap_or_default() {
            "" => None,
            effect => Some(Effect::parse(effect)?),
        };
        Some(Self { key: toleration.key.clone().unwrap_or_default(), value, effect })
    }

    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

/// Whether any of these tolerates the taint.
pub fn tolerates<'a>(tolerations: impl IntoIterator<Item = &'a Toleration>, taint: &Taint) -> bool {
    tolerations.into_iter().any(|toleration| toleration.tolerates(taint))
}
