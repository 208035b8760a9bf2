"""Who may make and end which keys."""

from datetime import datetime, timedelta

import pytest

from factory_infra.database import utcnow
from factory_infra.errors import Forbidden, InvalidInput
from factory_infra.paas.tenants.authority import check_caring, check_making
from factory_infra.paas.tenants.models import ApiKey, KeyTerms, Role

NOW = utcnow()
LATER = NOW + timedelta(hours=1)


def key(role: Role = Role.APPROVER, **fields: object) -> ApiKey:
    known = {"id": "k", "tenant": "vision", "name": "ann", "role": role, "created_at": NOW, "expires_at": None, "revoked_at": None}
    return ApiKey.model_validate({**known, **fields})


def may_make(maker: ApiKey, role: Role = Role.USER, expires_at: datetime | None = None, terms: dict[str, object] | None = None) -> bool:
    try:
        check_making(maker, role, KeyTerms.model_validate(terms or {}), expires_at)
    except Forbidden:
        return False
    return True


def may_care(asker: ApiKey, role: Role) -> bool:
    try:
        check_caring(asker, role)
    except Forbidden:
        return False
    return True


class TestMaking:
    def test_an_approver_makes_keys_up_to_operators_an_administrator_all(self) -> None:
        assert [may_make(key(), role) for role in Role] == [True, True, True, False, False]
        assert [may_make(key(Role.ADMIN, tenant=None), role) for role in Role] == [True] * 5

    def test_nobody_hands_out_more_than_they_hold(self) -> None:
        bound = key(project="reader", models=["fast"], scopes=["manage"], expires_at=LATER)
        held: dict[str, object] = {"project": "reader", "models": ["fast"], "scopes": ["manage"]}
        assert may_make(bound, expires_at=LATER, terms=held)
        beyond: list[dict[str, object]] = [
            {"project": ""},
            {"project": "other"},
            {"models": None},
            {"models": ["fast", "best"]},
            {"scopes": ["gateway"]},
        ]
        for more in beyond:
            assert not may_make(bound, expires_at=LATER, terms={**held, **more}), more
        for end in (None, LATER + timedelta(seconds=1)):
            assert not may_make(bound, expires_at=end, terms=held)

    def test_nobody_makes_a_key_that_has_expired(self) -> None:
        with pytest.raises(InvalidInput) as raised:
            check_making(key(Role.ADMIN, tenant=None), Role.USER, KeyTerms(), NOW)
        assert raised.value.error_code == "expiry_invalid"


class TestCaring:
    def test_each_for_those_below(self) -> None:
        assert {asker: [may_care(key(asker), role) for role in Role] for asker in Role} == {
            Role.VIEWER: [False] * 5,
            Role.USER: [False] * 5,
            Role.OPERATOR: [False] * 5,
            Role.APPROVER: [True, True, True, False, False],
            Role.ADMIN: [True] * 5,
        }
