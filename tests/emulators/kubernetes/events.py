"""What the cluster says about its objects."""

from tests.emulators.kubernetes.store import RESOURCES, Obj, Store, clone, now

EVENT = next(each for each in RESOURCES if each.plural == "events")


def happened(store: Store, about: Obj, kind: str, reason: str, message: str) -> None:
    """Tell of something; the same once more only counts up."""
    meta = about["metadata"]
    space = meta.get("namespace", "default")
    for event in store.peek("events", space):
        if (event["involvedObject"]["uid"], event["reason"], event["message"]) == (meta["uid"], reason, message):
            store.update("events", clone(event) | {"count": event["count"] + 1, "lastTimestamp": now()})
            return
    involved = {"kind": about["kind"], "name": meta["name"], "namespace": space, "uid": meta["uid"]}
    body: Obj = {"metadata": {"generateName": f"{meta['name']}."}, "involvedObject": involved, "type": kind, "reason": reason}
    store.create(EVENT, space, body | {"message": message, "count": 1, "firstTimestamp": now(), "lastTimestamp": now()})
