"""Protections of the scheduler switched off: the machine of `test_machine.py` must then find what each prevents.

Those of reservations and of the guaranteed time are switched off in `test_backfill.py` and `test_preemption.py`: a single case shows them.
"""

import random
from collections.abc import Callable

import pytest

from factory_infra.iaas.scheduling import explain
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Advice
from factory_infra.iaas.scheduling.ordering import Entry
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.scheduling.quotas import Quotas
from factory_infra.iaas.scheduling.shares import Shares
from factory_infra.iaas.scheduling.waking import Waking
from tests.factory_infra.iaas.scheduling.test_machine import run

SEQUENCES = 6000
"""At most: the first that finds it ends the run."""
Off = Callable[[pytest.MonkeyPatch], None]


def no_caps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quotas, "blocking", lambda *_: None)


def no_taking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fleet, "take", lambda *_: None)
    patch.setattr(Fleet, "give", lambda *_: None)


def no_gangs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Entry, "members_least", property(lambda _: 1))


def no_bound_of_waiting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Waking, "starving", lambda *_: [])


def no_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Shares, "rank", lambda *_: (random.random(),))  # noqa: S311


def no_proof_of_advice(patch: pytest.MonkeyPatch) -> None:
    def guessed(scheduler: Scheduler, name: str, now: float, *, advice_max: int = 5) -> list[Advice]:
        return [Advice({"priority": 0}, "leave it as it is: at once", now, 0.0)][:advice_max]

    patch.setattr(explain, "advise", guessed)


CONTROLS: dict[str, tuple[Off, str]] = {
    "caps": (no_caps, "exceeds its cap"),
    "seats": (no_taking, "given twice"),
    "gangs": (no_gangs, "a gang runs in part"),
    "starvation": (no_bound_of_waiting, "was bound to start by"),
    "determinism": (no_order, "gave (another decision|other decisions)"),
    "advice": (no_proof_of_advice, "leave it as it is"),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_without_it_the_machine_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_off, found = CONTROLS[name]
    switch_off(monkeypatch)
    with pytest.raises(AssertionError, match=found):
        run(SEQUENCES, shrink=False)
