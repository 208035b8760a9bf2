"""What emulated containers write, in moto's own CloudWatch Logs."""

import time

from moto.logs.models import LogsBackend, logs_backends

from tests.emulators.aws.world import World


def append(world: World, region: str, group: str, stream: str, lines: list[bytes]) -> None:
    """Put lines as events into a stream, made where it is not there; an empty line is no event, as on AWS."""
    backend: LogsBackend = logs_backends[world.account][region]
    moment = int(time.time() * 1000)
    events = [{"timestamp": moment, "message": line.decode(errors="replace")} for line in lines if line]
    with world.lock:
        if group not in backend.groups:
            backend.create_log_group(group, {})
        backend.ensure_log_stream(group, stream)
        if events:
            backend.put_log_events(group, stream, events)
