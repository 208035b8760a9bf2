"""llama.cpp in this process, reachable only through a socket file in a private folder."""

import secrets
import shutil
import tempfile
from pathlib import Path

import httpx

from factory_infra.errors import EffectFailed

CONTEXT_TOKENS = 4096
BATCH_TOKENS = 256
PROMPT_CACHE_MIB = 48
SOCKET_NAME = "llama.sock"


class Llama:
    """One loaded model. The engine serves HTTP by itself, with no key and with CORS open unless told otherwise.

    It is given a socket file, which no web page and no other user can reach, a random key, and no CORS.
    """

    def __init__(self, weights: Path, threads: int) -> None:
        """Load the weights, which the caller has verified; takes seconds and blocks. Raises EffectFailed `model_load_failed`."""
        from xllamacpp import CommonParams, Server  # noqa: PLC0415 - a hundred megabytes of code, only where a model is served

        self._folder = Path(tempfile.mkdtemp(prefix="lineshaft-"))
        self._key = secrets.token_urlsafe(32)
        parameters = CommonParams()
        parameters.model.path = str(weights)
        parameters.hostnames = [str(self._folder / SOCKET_NAME)]
        parameters.api_keys = [self._key]
        parameters.cors_origins = ""
        parameters.ui = False
        parameters.endpoint_slots = False
        parameters.verbosity = 0
        parameters.n_ctx = CONTEXT_TOKENS
        parameters.n_batch = BATCH_TOKENS
        parameters.n_ubatch = BATCH_TOKENS
        # One slot keeps a cached prefix whole; the small cache in memory lets two prefixes take turns.
        parameters.n_parallel = 1
        parameters.cache_prompt = True
        parameters.cache_ram_mib = PROMPT_CACHE_MIB
        parameters.n_threads_http = 4
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        try:
            self._server: object = Server(parameters)
        except RuntimeError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise EffectFailed(
                f"The weights {weights.name} were verified and could not be loaded: {error}",
                remedy="Check the free memory with `lineshaft doctor`.",
                code="model_load_failed",
            ) from error

    def client(self, timeout_seconds: float) -> httpx.AsyncClient:
        """A client of the engine; the caller closes it."""
        transport = httpx.AsyncHTTPTransport(uds=str(self._folder / SOCKET_NAME))
        headers = {"Authorization": f"Bearer {self._key}"}
        return httpx.AsyncClient(transport=transport, base_url="http://llama", headers=headers, timeout=timeout_seconds)

    def close(self) -> None:
        """Remove the engine's socket: nobody reaches it any more. The engine itself ends with its process and leaves nothing."""
        shutil.rmtree(self._folder, ignore_errors=True)
