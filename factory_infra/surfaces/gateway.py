"""The gateway's door: models, keys and calls of the victim, asked for by the attacker."""

from collections.abc import AsyncIterator

import httpx

from factory_infra.iaas.isolation.models import Attempt, Door
from factory_infra.surfaces.bait import Bait, Party
from factory_infra.surfaces.rest import told

SECONDS = 20.0


class GatewayDoor:
    """Attacks the gateway over HTTP.

    Args:
        http: a client of the gateway; its base address is the gateway's.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def attack(self, attacker: Party, bait: Bait) -> AsyncIterator[Attempt]:
        """List models, call the victim's endpoint as a model, and spend under a forged key."""
        victim = bait.victim.tenant
        say = [{"role": "user", "content": "hello"}]
        own, forged = attacker.key, f"ls_{bait.victim.key_id}_{attacker.key.rpartition('_')[2]}"
        yield await self._ask("see", "list the models", own, bait, "GET", "/v1/models", None)
        for model in (f"{victim}/{bait.ids['name']}", bait.ids["name"]):
            body = {"model": model, "messages": say, "max_tokens": 1}
            yield await self._ask("use_data", f"call {model} as a model", own, bait, "POST", "/v1/chat/completions", body)
        body = {"model": "audit-none", "messages": say, "max_tokens": 1}
        tried = "call under the victim's key id with the attacker's secret"
        yield await self._ask("spend", tried, forged, bait, "POST", "/v1/chat/completions", body, codes={401, 403})
        yield await self._ask("see", "list the models under that key", forged, bait, "GET", "/v1/models", None, codes={401, 403})

    async def _ask(  # noqa: PLR0913 - a request has as many parts
        self, door: Door, tried: str, key: str, bait: Bait, method: str, path: str, body: object, codes: set[int] | None = None
    ) -> Attempt:
        headers = {"authorization": f"Bearer {key}"}
        try:
            answer = await self._http.request(method, path, json=body, headers=headers, timeout=SECONDS)
        except httpx.HTTPError as error:
            return Attempt(door=door, through="gateway", tried=tried, refused=True, by=f"no answer ({type(error).__name__})")
        marked = any(mark in answer.text for mark in bait.marks if mark not in str(body))
        wanted = answer.status_code in codes if codes is not None else method == "GET" or answer.status_code >= 400
        refused = wanted and not marked
        by = told(answer.status_code, answer.text) if answer.status_code >= 400 else "the answer holds nothing of the other team"
        return Attempt(door=door, through="gateway", tried=tried, refused=refused, by=by if refused else "")
