"""What-ifs over leases that really wait: what is asked is simulated, told apart by team, and nothing real changes."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from threading import BoundedSemaphore
from typing import cast

import pytest
from pydantic import ValidationError

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound, RateLimited
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.leases.models import Lease, LeaseRequest
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.iaas.scheduling.policy import SchedulingPolicy
from factory_infra.iaas.scheduling.rules import SchedulingRules
from factory_infra.iaas.scheduling.service import Scheduling
from factory_infra.iaas.twin import service
from factory_infra.iaas.twin.engine import Progress
from factory_infra.iaas.twin.questions import MoreWork, WhatIf, WhatIfAnswer
from factory_infra.iaas.twin.results import Comparison
from factory_infra.iaas.twin.scenario import Scenario
from factory_infra.iaas.twin.service import Asker, WhatIfs
from tests.factory_infra.iaas.twin.making import QUICK

pytestmark = pytest.mark.stack


class GpuPools:
    """Two nodes of four GPUs, whatever the pool is called."""

    async def pool(self, name: str = "") -> Pool:
        slots = [Slot(index=index, kind="gpu", name="H100", memory_gib=80, accelerator="H100", node=f"n{index // 4}") for index in range(8)]
        return Pool(name=name or "local", slots=slots)


class Rules(SchedulingRules):
    """The quick placement, in one pool."""

    def pools(self) -> list[str]:
        return ["local"]

    def policy(self, pool: str) -> SchedulingPolicy:
        return QUICK


@pytest.fixture
async def leases(database: Database) -> Leases:
    """Two teams; the first holds all but two slots for ten minutes."""
    made = Leases(database, GpuPools(), rules=Rules())
    for team in ("vision", "language"):
        await made.set_quota(team, 8)
    await acquire(made, 6, "held")
    return made


@pytest.fixture
def what_ifs(database: Database, leases: Leases) -> WhatIfs:
    return WhatIfs(Scheduling(database, leases, cast(PooledJobs, None)), leases)


async def acquire(leases: Leases, slots: int, key: str, tenant: str = "vision", seconds: int = 600) -> Lease:
    return await leases.acquire(LeaseRequest(tenant=tenant, slots=slots, key=key, seconds=seconds, wait_seconds=3600))


async def asked(what_ifs: WhatIfs, words: str, tenant: str | None = None) -> WhatIfAnswer:
    return await what_ifs.ask(WhatIf(words=words), Asker(tenant))


class TestAsk:
    async def test_more_nodes_start_what_waits_now(self, what_ifs: WhatIfs, leases: Leases) -> None:
        waiting = await acquire(leases, 4, "a", "language")
        found = await asked(what_ifs, "add 1 node")
        (line,) = found.leases
        assert (found.simulated, found.pools, found.told) == (True, ["local"], ["1 more nodes in pool local"])
        assert (line.lease_id, line.slots, line.hypothetical) == (waiting.id, 4, False)
        assert line.starts_as_it_is is not None and line.starts_then is not None and line.sooner_seconds is not None
        assert (line.starts_then - found.as_of).total_seconds() < 60
        assert 500 < line.sooner_seconds <= 600
        assert [row["scenario"] for row in found.figures] == ["as it is", "with the changes"]

    async def test_nothing_real_changes(self, what_ifs: WhatIfs, leases: Leases) -> None:
        await acquire(leases, 4, "a", "language")
        before = await leases.list(active=False)
        for words in ("add 4 nodes", "order fifo and no backfill", "team vision asks for 2 slots for 1 hour", "node n0 fails"):
            await asked(what_ifs, words)
        assert await leases.list(active=False) == before

    async def test_without_a_lease_what_waits_for_it_starts(self, what_ifs: WhatIfs, leases: Leases) -> None:
        (held,) = await leases.list("vision")
        await acquire(leases, 8, "a", "language")
        (line,) = (await asked(what_ifs, f"without {held.id}")).leases
        assert line.sooner_seconds is not None and line.sooner_seconds > 500

    async def test_added_work_waits_its_turn(self, what_ifs: WhatIfs) -> None:
        found = await asked(what_ifs, "team vision asks for 2 slots for 60 s, 2 times", "vision")
        first, second = found.leases
        assert first.hypothetical and second.hypothetical
        assert first.starts_as_it_is is None and first.starts_then is not None and second.starts_then is not None
        assert (second.starts_then - first.starts_then).total_seconds() >= 59

    async def test_a_limit_keeps_a_team_waiting(self, what_ifs: WhatIfs, leases: Leases) -> None:
        await acquire(leases, 4, "a", "language")
        (line,) = (await asked(what_ifs, "limit of language 2 gpus")).leases
        assert line.starts_as_it_is is not None
        assert line.starts_then is None

    async def test_a_team_sees_its_own_and_counts_of_others(self, what_ifs: WhatIfs, leases: Leases) -> None:
        theirs = await acquire(leases, 4, "a", "language")
        own = await acquire(leases, 4, "b", "vision")
        found = await asked(what_ifs, "order fifo", "vision")
        assert [line.lease_id for line in found.leases] == [own.id]
        assert found.others == 1
        assert theirs.id not in found.model_dump_json()

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            ("without lease-unknown", "lease_unknown"),
            ("add 1 node to nowhere", "pool_unknown"),
            ("remove 2 nodes", "scenario_invalid"),
            ("node n9 fails", "node_unknown"),
            ("placement best_of_all", "scheduling_invalid"),
            ("order alphabetical", "scheduling_invalid"),
            ("team language asks for 1 slot for 1 hour", "team_unknown"),
        ],
    )
    async def test_what_cannot_be_is_refused(self, what_ifs: WhatIfs, words: str, code: str) -> None:
        with pytest.raises(LineshaftError) as caught:
            await asked(what_ifs, words, "vision")
        assert caught.value.error_code == code

    async def test_another_teams_lease_is_as_if_it_were_not_there(self, what_ifs: WhatIfs, leases: Leases) -> None:
        (held,) = await leases.list("vision")
        with pytest.raises(NotFound) as caught:
            await asked(what_ifs, f"without {held.id}", "language")
        assert caught.value.error_code == "lease_unknown"

    async def test_it_ends_when_it_is_told_to(self, what_ifs: WhatIfs, leases: Leases) -> None:
        question = WhatIf(changes=(MoreWork(team="vision", slots=1, seconds=60, times=200),))
        with pytest.raises(Conflict) as caught:
            await what_ifs.ask(question, Asker(None), lambda share: False)
        assert caught.value.error_code == "twin_cancelled"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(what_ifs.ask(question, Asker(None)), 0.001)

    async def test_what_has_ended_counts_in_the_shares(
        self, what_ifs: WhatIfs, leases: Leases, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (held,) = await leases.list("vision")
        async with database.transaction() as session:
            row = await session.get(LeaseRow, held.id)
            assert row is not None
            row.granted_at -= timedelta(seconds=60)
        await leases.release("vision", held.id)
        seen: list[Scenario] = []
        real = service.simulated

        async def watched(scenarios: Sequence[Scenario], progress: Progress | None) -> Comparison:
            seen.extend(scenarios)
            return await real(scenarios, progress)

        monkeypatch.setattr(service, "simulated", watched)
        await asked(what_ifs, "add 1 node")
        for scenario in seen:
            (past,) = scenario.past
            assert (past.workload.queue, past.workload.members) == ("vision", 6)
            assert past.ended - past.began >= 59

    async def test_only_so_many_run_at_once(self, what_ifs: WhatIfs, monkeypatch: pytest.MonkeyPatch) -> None:
        room = BoundedSemaphore(1)
        monkeypatch.setattr(service, "_room", room)
        assert room.acquire(blocking=False)
        with pytest.raises(RateLimited) as caught:
            await asked(what_ifs, "add 1 node")
        assert caught.value.error_code == "twin_busy"
        room.release()
        await asked(what_ifs, "add 1 node")
        assert room.acquire(blocking=False)

    def test_a_question_is_changes_or_words(self) -> None:
        for fields in ({}, {"words": "add 1 node", "changes": [{"change": "nodes", "more": 1}]}, {"words": "x", "speed": 1}):
            with pytest.raises(ValidationError):
                WhatIf.model_validate(fields)
        assert InvalidInput.http_status == 422
