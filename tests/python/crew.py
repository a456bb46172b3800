"""A small operator with Python's client: a definition, a watch, patches, the dynamic client."""

import sys

from kubernetes import client, config, dynamic, watch

GROUP, VERSION, PLURAL = "crew.example.org", "v1", "crews"
FINALIZER = "crew.example.org/ashore"


def define():
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"rowers": {"type": "integer", "minimum": 1}}},
            "status": {"type": "object", "properties": {"aboard": {"type": "integer"}}},
        },
    }
    api = client.ApiextensionsV1Api()
    api.create_custom_resource_definition({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": PLURAL, "kind": "Crew"},
            "versions": [{
                "name": VERSION, "served": True, "storage": True, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
    for event in watch.Watch().stream(api.list_custom_resource_definition, timeout_seconds=30):
        definition = event["object"]
        conditions = (definition.status and definition.status.conditions) or []
        if definition.spec.group == GROUP and any(c.type == "Established" and c.status == "True" for c in conditions):
            return


def operate(crews):
    """Boards each crew, and lets go of those who leave, until the last has left."""
    place = (GROUP, VERSION, "default", PLURAL)
    seen = []
    stream = watch.Watch().stream(crews.list_namespaced_custom_object, *place, timeout_seconds=60)
    for event in stream:
        crew, kind = event["object"], event["type"]
        seen.append(kind)
        name, meta = crew["metadata"]["name"], crew["metadata"]
        if kind == "DELETED":
            return seen
        if meta.get("deletionTimestamp"):
            if meta.get("finalizers"):
                crews.patch_namespaced_custom_object(*place, name, {"metadata": {"finalizers": []}})
        elif not meta.get("finalizers"):
            crews.patch_namespaced_custom_object(*place, name, {"metadata": {"finalizers": [FINALIZER]}})
        elif crew.get("status", {}).get("aboard") != crew["spec"]["rowers"]:
            status = {"status": {"aboard": crew["spec"]["rowers"]}}
            crews.patch_namespaced_custom_object_status(*place, name, status)
        elif crew["spec"]["rowers"] == 8:
            crews.patch_namespaced_custom_object(*place, name, {"spec": {"rowers": 9}})
        else:
            crews.delete_namespaced_custom_object(*place, name)
    raise AssertionError(f"the watch ended: {seen}")


def apply_dynamically():
    """The dynamic client discovers what there is, and applies on the server."""
    crews = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version=f"{GROUP}/{VERSION}", kind="Crew")
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Crew", "metadata": {"name": "four"}, "spec": {"rowers": 4}}
    crews.server_side_apply(body=body, namespace="default", field_manager="one")
    body["spec"]["rowers"] = 5
    try:
        crews.server_side_apply(body=body, namespace="default", field_manager="two")
        raise AssertionError("the other owns it")
    except dynamic.exceptions.ConflictError as conflict:
        assert 'conflict with \\"one\\": .spec.rowers' in conflict.body, conflict.body
    crews.server_side_apply(body=body, namespace="default", field_manager="two", force_conflicts=True)
    assert crews.get(name="four", namespace="default").spec.rowers == 5
    body["spec"]["rowers"] = 0
    try:
        crews.server_side_apply(body=body, namespace="default", field_manager="two")
        raise AssertionError("too few")
    except dynamic.exceptions.UnprocessibleEntityError as refused:
        assert "should be greater than or equal to 1" in refused.body, refused.body
    crews.delete(name="four", namespace="default")


def main():
    config.load_kube_config(sys.argv[1])
    define()
    crews = client.CustomObjectsApi()
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Crew", "metadata": {"name": "eight"}, "spec": {"rowers": 8}}
    crews.create_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, body)
    seen = operate(crews)
    assert seen[0] == "ADDED" and seen[-1] == "DELETED", seen
    apply_dynamically()
    print("done")


main()
