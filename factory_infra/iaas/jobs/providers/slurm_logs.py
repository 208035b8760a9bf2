"""A job's log and results, read carefully: the job may write anything into its folder, links included."""

import os

from factory_infra.errors import TooLarge
from factory_infra.iaas.jobs.models import LogChunk
from factory_infra.iaas.jobs.providers.reading import RESULT_BYTES_MAX, whole_characters
from factory_infra.iaas.jobs.providers.slurm_ledger import Place

LOG = "log.txt"


def read_log(place: Place, offset: int, limit: int, *, final: bool) -> LogChunk:
    """Cut a piece of the log at whole characters."""
    descriptor = place.files.open(*place.files.place(place.index), LOG)
    if descriptor is None:
        return LogChunk(text="", next_offset=offset, complete=final)
    with os.fdopen(descriptor, "rb") as stream:
        stream.seek(offset)
        data = stream.read(limit)
        at_end = not stream.read(1)
    if not (final and at_end):
        data = data[: whole_characters(data)]
    return LogChunk(text=data.decode(errors="replace"), next_offset=offset + len(data), complete=final and at_end)


def read_tail(place: Place, limit: int) -> str:
    """Return whole lines from the log's end, at most so many bytes; a single longer line is cut at its front."""
    descriptor = place.files.open(*place.files.place(place.index), LOG)
    if descriptor is None:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        start = max(os.fstat(stream.fileno()).st_size - limit, 0)
        stream.seek(start)
        text = stream.read(limit).decode(errors="replace")
    _, newline, rest = text.partition("\n")
    return rest if start > 0 and newline and rest else text


def read_result(place: Place, name: str) -> str | None:
    """Return a small text file that the job left, or None while there is none. Raises TooLarge."""
    data = place.files.read(*place.files.place(place.index), name, limit=RESULT_BYTES_MAX + 1)
    if data is not None and len(data) > RESULT_BYTES_MAX:
        raise TooLarge(f"The result {name} is larger than 4 MiB.", remedy="Let the job leave a smaller file.")
    return None if data is None else data.decode(errors="replace")
