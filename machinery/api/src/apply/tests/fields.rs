use crate::apply::FieldSet;

#[test]
fn sets_are_read_and_written_canonically() {
    let text = r#"{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:ports":{"k:{\"port\":9}":{".":{},"f:port":{}},"k:{\"port\":80}":{}}}}"#;
    let set = FieldSet::from_json(text.as_bytes()).expect("it is well formed");
    assert_eq!(set.to_json(), text);
    assert_eq!(
        set.paths(),
        [
            ".metadata.labels",
            ".metadata.labels.a",
            ".spec.ports[port=9]",
            ".spec.ports[port=80]",
            ".spec.ports[port=9].port"
        ]
    );
}
