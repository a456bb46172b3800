//! What a deployment's spec says of how to roll out.

use k8s_openapi::api::apps::v1::{Deployment, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The value that means "no deadline" (the largest 32-bit number, as upstream).
const NO_DEADLINE: i32 = i32::MAX;

pub(super) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"))
}

pub(super) fn is_paused(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true))
}

/// Seconds without progress after which a rollout counts as failed.
pub(super) fn progress_deadline(deployment: &Deployment) -> Option<i32> {
    let seconds = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds);
    seconds.filter(|seconds| *seconds != NO_DEADLINE)
}

fn rolling(deployment: &Deployment) -> Option<RollingUpdateDeployment> {
    if is_recreate(deployment) {
        return None;
    }
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    Some(strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default())
}

/// Pods above the wanted number, and pods short of it, that a rollout may pass through.
fn fenceposts(rolling: &RollingUpdateDeployment, replicas: i32) -> (i32, i32) {
    let surge = scaled(rolling.max_surge.as_ref(), replicas, true);
    let unavailable = scaled(rolling.max_unavailable.as_ref(), replicas, false);
    // With neither, nothing could ever move; both can be zero by rounding.
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// A number, or a share of `total`; a quarter when absent, which is the API's default.
fn scaled(value: Option<&IntOrString>, total: i32, up: bool) -> i32 {
    let percent = match value {
        Some(IntOrString::Int(number)) => return *number,
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse::<i64>().unwrap_or_default(),
        None => 25,
    };
    let product = percent * i64::from(total);
    let share = if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) };
    i32::try_from(share).unwrap_or(i32::MAX)
}

pub(super) fn max_surge(deployment: &Deployment) -> i32 {
    rolling(deployment).map_or(0, |rolling| fenceposts(&rolling, replicas(deployment)).0)
}

pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    let replicas = replicas(deployment);
    if replicas == 0 {
        return 0;
    }
    rolling(deployment).map_or(0, |rolling| fenceposts(&rolling, replicas).1).min(replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_towards_progress() {
        let text = |text: &str| Some(IntOrString::String(text.into()));
        for (replicas, surge, unavailable, expected) in [
            (10, None, None, (3, 2)),
            (1, text("25%"), text("25%"), (1, 0)),
            (1, text("0%"), text("25%"), (0, 1)),
            (4, Some(IntOrString::Int(2)), Some(IntOrString::Int(0)), (2, 0)),
            (0, text("25%"), text("25%"), (0, 1)),
        ] {
            let rolling = RollingUpdateDeployment { max_surge: surge, max_unavailable: unavailable };
            assert_eq!(fenceposts(&rolling, replicas), expected, "{replicas} {rolling:?}");
        }
    }
}
