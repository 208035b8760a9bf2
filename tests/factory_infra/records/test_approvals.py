"""Approvals as they are kept: one word a person and revision, used once."""

from datetime import timedelta

import pytest

from factory_infra.database import Database, utcnow
from factory_infra.records.approvals import Approval, Approvals

pytestmark = pytest.mark.stack


def word(actor: str = "ann (1)", digest: str = "a" * 64, **fields: object) -> Approval:
    now = utcnow()
    known = {"plan_id": "plan-1", "tenant": "vision", "revision": 1, "role": "approver", "approve": True}
    times = {"at": now, "expires_at": now + timedelta(hours=1)}
    return Approval.model_validate({**known, **times, "actor": actor, "digest": digest, **fields})


@pytest.fixture
def approvals(database: Database) -> Approvals:
    return Approvals(database)


async def test_the_same_word_again_changes_nothing(approvals: Approvals) -> None:
    first = word(reason="fine")
    await approvals.save(first)
    await approvals.save(word(reason="again", approve=False))
    assert await approvals.of_plan("plan-1") == [first]


async def test_each_person_and_each_revision_has_a_word(approvals: Approvals) -> None:
    for each in (word(), word("bob (2)"), word(digest="b" * 64, revision=2)):
        await approvals.save(each)
    found = await approvals.of_plan("plan-1")
    assert [(each.actor, each.revision) for each in found] == [("ann (1)", 1), ("bob (2)", 1), ("ann (1)", 2)]


async def test_they_are_used_once_and_only_those_of_the_digest(approvals: Approvals) -> None:
    for each in (word(), word(digest="b" * 64, revision=2), word(plan_id="plan-2")):
        await approvals.save(each)
    await approvals.use("plan-1", "a" * 64)
    used = (await approvals.of_plan("plan-1"))[0].used_at
    assert used is not None
    await approvals.use("plan-1", "a" * 64)
    assert [each.used_at for each in await approvals.of_plan("plan-1")] == [used, None]
    assert [each.used_at for each in await approvals.of_plan("plan-2")] == [None]


async def test_an_unknown_plan_has_none(approvals: Approvals) -> None:
    assert await approvals.of_plan("plan-none") == []
