"""A container's log as the API gives it: from its beginning, by lines or by time, never by a byte offset, without what was rotated away."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from tests.emulators.kubernetes.kubelet import Kubelets
from tests.emulators.kubernetes.store import Obj, Refusal, Store

FOLLOW_SECONDS = 0.05


async def answer_log(store: Store, kubelets: Kubelets, pod: Obj, http: web.Request) -> web.StreamResponse:
    """Answer `pods/NAME/log`."""
    names = [each["name"] for each in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]]
    container = http.query.get("container") or (names[0] if len(pod["spec"]["containers"]) == 1 else "")
    if container not in names:
        raise Refusal(400, "BadRequest", f"container {container} is not valid for pod {pod['metadata']['name']}")
    if pod["spec"].get("nodeName") in kubelets.lost_nodes:
        raise Refusal(500, "InternalError", f"Get https://{pod['spec'].get('nodeName')}:10250/containerLogs: dial tcp: i/o timeout")
    path = kubelets.log(pod, container)
    if not path.exists():
        raise Refusal(
            400, "BadRequest", f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start: ContainerCreating'
        )
    lines = chosen(path, http)
    if http.query.get("follow") not in {"1", "true"}:
        data = b"".join(lines)
        limit = http.query.get("limitBytes")
        return web.Response(body=data[: int(limit)] if limit else data, content_type="text/plain")
    return await follow(store, pod, path, http)


def chosen(path: Path, http: web.Request) -> list[bytes]:
    """The lines that are asked for, each with its time if that is asked too."""
    lines = path.read_bytes().splitlines(keepends=True)
    since = http.query.get("sinceTime", "")
    if since:
        # The server keeps whole seconds only.
        from_second = datetime.fromisoformat(since).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        lines = [line for line in lines if line[:19] >= from_second]
    tail = http.query.get("tailLines")
    if tail is not None:
        lines = lines[-int(tail) :] if int(tail) else []
    if http.query.get("timestamps") in {"1", "true"}:
        return lines
    return [line.partition(b" ")[2] for line in lines]


async def follow(store: Store, pod: Obj, path: Path, http: web.Request) -> web.StreamResponse:
    """Go on until the pod has ended."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(http)
    sent = 0
    while True:
        found = store.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        ended = found is None or found.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        lines = chosen(path, http)
        await response.write(b"".join(lines[sent:]))
        sent = len(lines)
        if ended:
            return response
        await asyncio.sleep(FOLLOW_SECONDS)
