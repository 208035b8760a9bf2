"""Deployments and KServe's InferenceServices: pods kept up, and services asked through the API server."""

from dataclasses import dataclass

import aiohttp
from aiohttp import web

from tests.emulators.kubernetes.admission import admit
from tests.emulators.kubernetes.events import happened
from tests.emulators.kubernetes.jobs import KIND, owner
from tests.emulators.kubernetes.store import Obj, Refusal, Store, clone, condition

KSERVE = "serving.kserve.io/inferenceservice"
KEPT_BACK = {"authorization", "host", "content-length", "transfer-encoding", "connection"}


@dataclass
class DeploymentController:
    """Keeps as many pods up as each Deployment asks for; one that ended is replaced."""

    store: Store

    def run(self) -> None:
        """Look at every InferenceService, then at every Deployment."""
        for service in self.store.peek("inferenceservices"):
            if not service["metadata"].get("deletionTimestamp"):
                self._serve(clone(service))
        for deployment in self.store.peek("deployments"):
            if not deployment["metadata"].get("deletionTimestamp"):
                self._keep_up(clone(deployment))

    def _keep_up(self, deployment: Obj) -> None:
        space, uid = deployment["metadata"]["namespace"], deployment["metadata"]["uid"]
        mine = [
            pod for pod in self.store.peek("pods", space) if any(ref["uid"] == uid for ref in pod["metadata"].get("ownerReferences") or [])
        ]
        live = [
            pod for pod in mine if pod["status"].get("phase") in {"Pending", "Running"} and not pod["metadata"].get("deletionTimestamp")
        ]
        for _ in range(deployment["spec"].get("replicas", 1) - len(live)):
            self._make(deployment, space)
        for pod in mine:
            if pod["status"].get("phase") in {"Succeeded", "Failed"} and not pod["metadata"].get("deletionTimestamp"):
                self.store.delete("pods", clone(pod))
        ready = sum(pod["status"].get("phase") == "Running" for pod in live)
        deployment["status"] = {"replicas": len(live), "readyReplicas": ready}
        self.store.update("deployments", deployment)

    def _make(self, deployment: Obj, space: str) -> None:
        template = clone(deployment["spec"]["template"])
        meta = {"generateName": f"{deployment['metadata']['name']}-", "labels": template["metadata"]["labels"]}
        pod = {"metadata": meta | {"ownerReferences": [owner(deployment)]}, "spec": template["spec"], "status": {"phase": "Pending"}}
        try:
            admit(self.store, KIND["pods"], space, pod)
        except Refusal as refusal:
            happened(self.store, deployment, "Warning", "FailedCreate", f"Error creating: {refusal.message}")
            return
        self.store.create(KIND["pods"], space, pod)

    def _serve(self, service: Obj) -> None:
        """What KServe makes of an InferenceService without Knative: a Deployment and a Service of the predictor."""
        space, name = service["metadata"]["namespace"], f"{service['metadata']['name']}-predictor"
        if self.store.get("deployments", space, name) is not None:
            condition(service, "Ready", "True")
            self.store.update("inferenceservices", service)
            return
        labels = {KSERVE: service["metadata"]["name"]}
        meta = {"name": name, "ownerReferences": [owner(service)], "labels": labels}
        pod = service["spec"]["predictor"]
        template = {"metadata": {"labels": labels | (service["metadata"].get("labels") or {})}, "spec": pod}
        self.store.create(KIND["deployments"], space, {"metadata": clone(meta), "spec": {"replicas": 1, "template": template}})
        port = pod["containers"][0]["ports"][0]["containerPort"]
        spec = {"selector": labels, "ports": [{"port": 80, "targetPort": port}]}
        self.store.create(KIND["services"], space, {"metadata": clone(meta), "spec": spec})


async def through(store: Store, namespace: str, named: str, path: str, http: web.Request) -> web.Response:
    """Hand a request to a pod of a service, without the credentials that opened the API server. Raises Refusal 503 where none answers."""
    name, _, port = named.partition(":")
    service = store.read("services", namespace, name)
    target = next((each.get("targetPort", each["port"]) for each in service["spec"]["ports"] if str(each["port"]) == port), None)
    selector = service["spec"].get("selector") or {}
    up = [
        pod
        for pod in store.peek("pods", namespace)
        if pod["status"].get("phase") == "Running"
        and not pod["metadata"].get("deletionTimestamp")
        and selector.items() <= (pod["metadata"].get("labels") or {}).items()
    ]
    if target is None or not up:
        raise Refusal(503, "ServiceUnavailable", f'no endpoints available for service "{named}"')
    headers = {key: value for key, value in http.headers.items() if key.lower() not in KEPT_BACK}
    try:
        async with aiohttp.ClientSession() as session:
            asked = session.request(http.method, f"http://127.0.0.1:{target}/{path}", data=await http.read(), headers=headers)
            async with asked as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
    except aiohttp.ClientError as error:
        raise Refusal(503, "ServiceUnavailable", f"error trying to reach service: {error}") from error
