"""The server of one language model, run as a job: `python -m factory_infra.paas.deployments.providers.serve_chat`, in the job's folder."""

import hashlib
import os
import signal
import socket
import sys
from pathlib import Path

from factory_infra.paas.deployments.providers.wire import ADDRESS_FILE, ORDER_FILE, TOKEN_FILE, Address, ChatOrder

CONTEXT_TOKENS = 4096
SLOTS = 2
"""Answers that are made at one time; each has the whole context."""
BATCH_TOKENS = 256
PROMPT_CACHE_MIB = 48
THREADS_MAX = 8
HASH_BLOCK_BYTES = 4 * 1024 * 1024
STARTS_MAX = 5


def serve(order: ChatOrder, key: str, port: int) -> object:
    """Load the model and listen; the engine serves in threads of its own until the process ends. Raises RuntimeError.

    It speaks OpenAI's shapes by itself, on a port of its own choosing, with no key and with CORS open, unless told otherwise.
    """
    from xllamacpp import CommonParams, Server  # noqa: PLC0415 - a hundred megabytes of code, wanted only once the digest is right

    parameters = CommonParams()
    parameters.model.path = order.model_path
    parameters.model_alias = {order.model_name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.reuse_port = False
    parameters.api_keys = [key]
    parameters.cors_origins = ""
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.verbosity = 0
    parameters.n_ctx = CONTEXT_TOKENS * SLOTS
    parameters.n_parallel = SLOTS
    parameters.n_batch = BATCH_TOKENS
    parameters.n_ubatch = BATCH_TOKENS
    parameters.cache_ram_mib = PROMPT_CACHE_MIB
    parameters.n_threads_http = 4
    threads = min(len(os.sched_getaffinity(0)), THREADS_MAX)
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    return Server(parameters)


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(order: ChatOrder, key: str) -> tuple[object, int]:
    """Serve on a free port; another one where somebody was quicker to take it. Raises RuntimeError."""
    for attempt in range(STARTS_MAX):
        port = free_port()
        try:
            return serve(order, key, port), port
        except RuntimeError:
            if attempt == STARTS_MAX - 1:
                raise
    raise RuntimeError("no port was left")


def digest_of(path: Path) -> str:
    """The file's SHA-256, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def main() -> int:
    """Verify, load, say where it listens, and serve until SIGTERM: what is open then is cut off."""
    order = ChatOrder.model_validate_json(Path(ORDER_FILE).read_bytes())
    if order.sha256 and digest_of(Path(order.model_path)) != order.sha256:
        sys.stdout.write(f"The weights of {order.model_name} are not the ones that were verified.\n")
        return 1
    signals = {signal.SIGTERM, signal.SIGINT}
    # Before the engine's threads begin, so that they leave the signals to this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    engine, port = started(order, Path(TOKEN_FILE).read_text(encoding="utf-8"))
    draft = Path(f".{ADDRESS_FILE}.new")
    draft.write_text(Address(port=port).model_dump_json(), encoding="utf-8")
    draft.replace(ADDRESS_FILE)
    sys.stdout.write(f"{order.model_name} version {order.version} chats on port {port}\n")
    sys.stdout.flush()
    signal.sigwait(signals)
    del engine
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # At once: the engine may be in the middle of a long answer that nobody waits for.
    os._exit(status)
