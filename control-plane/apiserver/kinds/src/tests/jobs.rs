//! Jobs and CronJobs.

use super::*;

fn job(rest: Value) -> Value {
    let mut object = named(
        "batch/v1",
        "Job",
        json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}}),
    );
    object["metadata"]["uid"] = "u".into();
    for (field, value) in rest.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

#[test]
fn jobs_are_told_what_is_wrong() {
    check("plain", job(json!({})), &[]);
    check("indexed", job(json!({"completionMode": "Indexed"})), &[]);
    check(
        "indexed without completions",
        job(json!({"completionMode": "Indexed", "parallelism": 100_001})),
        &[
            "spec.completions: Required value: when completion mode is Indexed",
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        ],
    );
    check(
        "per index",
        job(json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 2})),
        &[
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            "spec.maxFailedIndexes: Invalid value: 2: requires indexed completion mode",
        ],
    );
    check(
        "manager",
        job(json!({"managedBy": "me"})),
        &["spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
    );
    check(
        "failure policy",
        job(json!({"podFailurePolicy": {"rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 1, 1, 0]}},
            {"action": "FailIndex", "onPodConditions": [{"type": "Ready"}]},
            {"action": "Other", "onExitCodes": {"operator": "NotIn", "containerName": "b", "values": [1]}, "onPodConditions": [{"type": "Ready"}]},
            {"action": "Count"},
        ]}})),
        &[
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 1",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[3]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1,1,0]: must be ordered",
            "spec.podFailurePolicy.rules[1].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            "spec.podFailurePolicy.rules[2].action: Unsupported value: \"Other\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            "spec.podFailurePolicy.rules[2].onExitCodes.containerName: Invalid value: \"b\": must be one of the container or initContainer names in the pod template",
            "spec.podFailurePolicy.rules[2]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
            "spec.podFailurePolicy.rules[3]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ],
    );
    check(
        "success policy",
        job(json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [
            {}, {"succeededIndexes": "0-1", "succeededCount": 3}, {"succeededCount": 4}]}})),
        &[
            "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
            "spec.successPolicy.rules[1].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
            "spec.successPolicy.rules[2].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of specified completions)",
        ],
    );
}

#[test]
fn jobs_change_little() {
    check_update("parallelism", job(json!({})), |j| j["spec"]["parallelism"] = 3.into(), &[]);
    check_update(
        "completions",
        job(json!({})),
        |j| j["spec"]["completions"] = 3.into(),
        &["spec.completions: Invalid value: 3: field is immutable"],
    );
    let indexed = || job(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    check_update(
        "elastic",
        indexed(),
        |j| {
            j["spec"]["completions"] = 3.into();
            j["spec"]["parallelism"] = 3.into();
        },
        &[],
    );
    check_update(
        "only completions",
        indexed(),
        |j| j["spec"]["completions"] = 3.into(),
        &["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"],
    );
    check_update(
        "node",
        job(json!({})),
        |j| j["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"}),
        &["spec.template: Invalid value: {"],
    );
    check_update(
        "node while suspended",
        job(json!({"suspend": true})),
        |j| j["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"}),
        &[],
    );
}

#[test]
fn cron_jobs_are_told_what_is_wrong() {
    let cron = |rest: Value| {
        let mut object = named(
            "batch/v1",
            "CronJob",
            json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}}}}),
        );
        for (field, value) in rest.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object
    };
    check("plain", cron(json!({"timeZone": "Etc/UTC"})), &[]);
    check("no schedule", cron(json!({"schedule": ""})), &["spec.schedule: Required value"]);
    check(
        "zone in the schedule",
        cron(json!({"schedule": "TZ=Europe/Rome 0 4 * * *"})),
        &[
            "spec.schedule: Invalid value: \"TZ=Europe/Rome 0 4 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ],
    );
    check(
        "local",
        cron(json!({"timeZone": "Local"})),
        &[
            "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ],
    );
    check(
        "policy",
        cron(json!({"concurrencyPolicy": "Maybe", "failedJobsHistoryLimit": -1})),
        &[
            "spec.concurrencyPolicy: Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
            "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    let mut long = cron(json!({}));
    long["metadata"]["name"] = "a".repeat(53).into();
    check("name", long, &["metadata.name: Invalid value: \"aaaaa"]);
}
