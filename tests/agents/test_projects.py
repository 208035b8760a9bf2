"""A turn's project: its plan and its calls of the model are charged to it, and never another team's."""

import pytest

from agents.desk import Desk
from agents.state import Asker, TurnInput
from tests.agents.ports import turn


def asked_by(tenant: str | None) -> TurnInput:
    asker = Asker(actor="ann (1)", role="user", tenant=tenant, project="reader")
    return turn().model_copy(update={"who": asker})


@pytest.mark.parametrize(("tenant", "project"), [("vision", "reader"), ("language", ""), (None, "")])
def test_it_holds_in_the_askers_team_only(tenant: str | None, project: str) -> None:
    assert asked_by(tenant).project_in("vision") == project


def test_calls_of_the_model_are_charged_to_it() -> None:
    desk = Desk.__new__(Desk)
    for name, value in (("turn", asked_by("vision")), ("team", "vision"), ("agent", "trainer")):
        object.__setattr__(desk, name, value)
    assert (desk.charged["tenant"], desk.charged["project"], desk.charged["agent"]) == ("vision", "reader", "trainer")
