"""A process that has read what a carrier needs and forks one for each job: a container's start without the start of Python.

Run as `python -m tests.emulators.aws.zygote FD`; the descriptor is a socket on which requests come with the log's descriptor.
"""

import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress

from botocore.session import Session

import factory_infra.iaas.jobs.carrier.carrying
from factory_infra.iaas.jobs.carrier import store

MODULE = "factory_infra.iaas.jobs.carrier"
READ_BYTES = 1 << 20


def share_descriptions() -> None:
    """Let every session read AWS' descriptions from one memory: they are megabytes of JSON, and children have them from us."""
    known, begin = Session().get_component("data_loader"), Session.__init__

    def init(self: Session, *arguments: object, **named: object) -> None:
        begin(self, *arguments, **named)
        self.register_component("data_loader", known)

    Session.__init__ = init


def child(request: dict[str, object], log: int) -> None:
    """Become the container's process."""
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update({str(name): str(value) for name, value in dict(request["environment"]).items()})  # type: ignore[call-overload]
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - a descriptor
    code = 1
    try:
        runpy.run_module(MODULE, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def main() -> None:
    """Fork for each request; tell each end."""
    door = socket.socket(fileno=int(sys.argv[1]))
    door.settimeout(0.01)
    running: dict[int, object] = {}
    os.environ.update({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"})
    share_descriptions()
    store.Store("warm", "us-east-1")
    assert factory_infra.iaas.jobs.carrier.carrying
    while True:
        with suppress(TimeoutError):
            data, descriptors, _, _ = socket.recv_fds(door, READ_BYTES, 1)
            if not data:
                for pid in running:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return
            request = json.loads(data)
            pid = os.fork()
            if pid == 0:
                child(request, descriptors[0])
            os.close(descriptors[0])
            running[pid] = request["id"]
            door.send(json.dumps({"id": request["id"], "pid": pid}).encode())
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if ended[0] in running:
                    door.send(json.dumps({"id": running.pop(ended[0]), "code": os.waitstatus_to_exitcode(ended[1])}).encode())


if __name__ == "__main__":
    main()
