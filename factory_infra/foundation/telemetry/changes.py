"""From readings to events: what began, what ended, what was counted. Nothing is told twice."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from factory_infra.foundation.reliability.node_models import NodeEvent
from factory_infra.foundation.telemetry.models import GpuEvent, GpuReading, Reading

STEADY_READINGS = {"thermal": 5, "power_brake": 5}
"""What comes and goes from one reading to the next is told once it lasts."""
FLOOD_SECONDS = 60.0
"""So long the same XID of the same GPU is counted and not told anew."""
ECC_CORRECTED_RATE = 1000
"""Corrected errors from one reading to the next that are no chance any more."""


class Condition(NamedTuple):
    """Something that is so while it lasts."""

    code: str
    accelerator: int | None = None


class Told(NamedTuple):
    """What is said of a condition."""

    words: str
    uuid: str = ""


class Watcher:
    """Compares each reading with the one before."""

    def __init__(self) -> None:
        self._lasting: dict[Condition, int] = {}
        self._told: dict[Condition, Told] = {}
        self._links: dict[int, int] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._had_driver = False
        self._flood: dict[tuple[int, int], tuple[datetime, int]] = {}

    def look(self, reading: Reading, xids: Sequence[GpuEvent] = ()) -> list[NodeEvent]:
        """Return what happened since the reading before.

        Args:
            reading: of now.
            xids: what the driver told since the reading before.
        """
        events = list(self._xids(xids, reading.at))
        now = dict(self._conditions(reading))
        unknown = {gpu.index for gpu in reading.gpus if gpu.state != "ok"}
        events += self._begun(now, reading.at)
        events += self._over(now, unknown, reading)
        return events + list(self._counted(reading))

    def _xids(self, xids: Sequence[GpuEvent], at: datetime) -> Iterator[NodeEvent]:
        """Each XID of a GPU at once, and a flood of the same once a minute with its number."""
        for each in xids:
            since, more = self._flood.get((each.index, each.xid), (None, 0))
            if since is not None and (at - since).total_seconds() < FLOOD_SECONDS:
                self._flood[each.index, each.xid] = (since, more + 1)
                continue
            self._flood[each.index, each.xid] = (at, 0)
            words = f"XID {each.xid}" + (f", {more} more since {since:%H:%M:%S}" if since is not None and more else "")
            yield event(f"xid_{each.xid}", at, each.index, Told(words, each.uuid))

    def _begun(self, now: dict[Condition, Told], at: datetime) -> Iterator[NodeEvent]:
        for condition, told in now.items():
            lasted = self._lasting.get(condition, 0) + 1
            self._lasting[condition] = lasted
            if condition not in self._told and lasted >= STEADY_READINGS.get(condition.code, 1):
                self._told[condition] = told
                yield event(condition.code, at, condition.accelerator, told)

    def _over(self, now: dict[Condition, Told], unknown: set[int], reading: Reading) -> Iterator[NodeEvent]:
        """What is not so any more; of a GPU that does not answer, and without a driver, nobody knows."""
        for condition in [each for each in self._lasting if each not in now]:
            of_gpu = condition.accelerator is not None
            if (
                of_gpu
                and (condition.accelerator in unknown or reading.driver.state != "ok")
                and condition.code not in {"gpu_lost", "gpu_failed"}
            ):
                continue
            if of_gpu and reading.driver.state != "ok":
                continue
            del self._lasting[condition]
            if (told := self._told.pop(condition, None)) is not None:
                yield event(condition.code, reading.at, condition.accelerator, Told("It is over.", told.uuid), recovered=True)

    def _conditions(self, reading: Reading) -> Iterator[tuple[Condition, Told]]:
        driver = reading.driver
        self._had_driver = self._had_driver or driver.state == "ok"
        if driver.state == "driver_mismatch":
            yield Condition("driver_mismatch"), Told(driver.note)
        elif driver.state != "ok" and self._had_driver:
            yield Condition("driver_gone"), Told(driver.note)
        for gpu in reading.gpus:
            yield from ((Condition(code, gpu.index), Told(words, gpu.uuid)) for code, words in self._of_gpu(gpu))

    def _of_gpu(self, gpu: GpuReading) -> Iterator[tuple[str, str]]:
        if gpu.state != "ok":
            yield f"gpu_{gpu.state}", gpu.note
            return
        if gpu.rows_remap_failed:
            yield "remap_failed", "No spare row of memory is left."
        if gpu.rows_remap_pending:
            yield "remap_pending", "A row of memory waits for a reset."
        if "hardware_thermal" in gpu.slowed_by:
            yield "thermal", f"At {gpu.temperature_celsius} degrees Celsius."
        if "power_brake" in gpu.slowed_by:
            yield "power_brake", "The power brake is on."
        if gpu.links_up is not None:
            most = self._links[gpu.index] = max(self._links.get(gpu.index, 0), gpu.links_up)
            if gpu.links_up < most:
                yield "nvlink_down", f"{gpu.links_up} of {most} links are up."

    def _counted(self, reading: Reading) -> Iterator[NodeEvent]:
        """Counters that grew. The first reading is where they begin; one that was set back begins anew."""
        for gpu in reading.gpus:
            grown = self._grown("ecc_uncorrectable", gpu.index, gpu.ecc_uncorrected)
            if grown > 0:
                yield event("ecc_uncorrectable", reading.at, gpu.index, Told(f"{grown} more, {gpu.ecc_uncorrected} in all.", gpu.uuid))
            if (grown := self._grown("ecc_rate", gpu.index, gpu.ecc_corrected)) >= ECC_CORRECTED_RATE:
                yield event("ecc_rate", reading.at, gpu.index, Told(f"{grown} corrected since the reading before.", gpu.uuid))
        for device in reading.neuron.devices:
            if (grown := self._grown("neuron_ecc", device.index, device.ecc_uncorrected)) > 0:
                yield event("neuron_ecc", reading.at, device.index, Told(f"{grown} more, {device.ecc_uncorrected} in all."))

    def _grown(self, name: str, index: int, count: int | None) -> int:
        if count is None:
            return 0
        before = self._counts.get((name, index))
        self._counts[name, index] = count
        return 0 if before is None else count - before


def event(code: str, at: datetime, accelerator: int | None, told: Told, *, recovered: bool = False) -> NodeEvent:
    """An event with an id of its own."""
    return NodeEvent(
        id=uuid.uuid4().hex,
        code=code,
        recovered=recovered,
        accelerator=accelerator,
        uuid=told.uuid[:120],
        words=told.words[:400],
        at=at,
    )


def worded(events: Iterable[NodeEvent]) -> list[str]:
    """Events as lines for a person."""
    return [
        f"{each.at:%H:%M:%S} {each.code}{' is over' if each.recovered else ''}"
        f"{'' if each.accelerator is None else f' on {each.accelerator}'}: {each.words}"
        for each in events
    ]
