"""Weights from their publisher's hub, by HTTPS, resumed by range."""

import threading

from factory_infra.errors import Unavailable
from factory_infra.saas.models.weights_partial import Partial, Progress, WeightsSpec

HUB_URL = "https://huggingface.co"
REACH_SECONDS = 4.0
READ_SECONDS = 30.0
BLOCK_BYTES = 1024 * 1024


class HubSource:
    """The publisher's hub. One that cannot be reached is noticed within five seconds, a stuck name service included."""

    name = "hub"

    def __init__(self, url: str = HUB_URL, reach_seconds: float = REACH_SECONDS) -> None:
        self._url = url
        self._reach_seconds = reach_seconds

    def fetch(self, spec: WeightsSpec, partial: Partial, progress: Progress) -> None:
        """Go on from the partial file's end. Raises Unavailable."""
        import httpx  # noqa: PLC0415 - the command line's help must not pay for it

        url = f"{self._url}/{spec.hub_repository}/resolve/main/{spec.hub_file}"
        progress(partial.size_bytes, spec.size_bytes, "asking the hub")
        self._require_reachable(url)
        headers = {"Range": f"bytes={partial.size_bytes}-", "Accept-Encoding": "identity"}
        timeout = httpx.Timeout(READ_SECONDS, connect=self._reach_seconds)
        try:
            with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
                response.raise_for_status()
                if response.status_code != httpx.codes.PARTIAL_CONTENT:
                    partial.rewind(keep_pieces=False)
                for block in response.iter_bytes(BLOCK_BYTES):
                    partial.append(block)
                    progress(partial.size_bytes, spec.size_bytes, "from the hub")
        except httpx.HTTPError as error:
            raise Unavailable(f"The hub stopped answering: {error}.", remedy="Try again.") from error

    def _require_reachable(self, url: str) -> None:
        """Ask in a thread of its own: a name service that hangs is outside of every timeout of the client."""
        import httpx  # noqa: PLC0415 - the command line's help must not pay for it

        outcome: list[str] = []

        def ask() -> None:
            try:
                httpx.head(url, timeout=self._reach_seconds)
            except httpx.HTTPError as error:
                outcome.append(str(error))
            else:
                outcome.append("")

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(self._reach_seconds)
        reason = outcome[0] if outcome else f"no answer within {self._reach_seconds:g} s"
        if reason:
            raise Unavailable(f"The hub cannot be reached ({reason}).", remedy="Check the network.")
