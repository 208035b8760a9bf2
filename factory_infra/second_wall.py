"""Whose rows the code that runs now may see: the second wall between teams, which PostgreSQL holds behind the code's own checks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

EVERYTHING = "*"
"""The view of the platform itself: the worker, the gateway, administrators."""
NOBODY = "-"
"""The view of a request before it is known who asks. No team can have this name."""
TEAM_ROLE = "lineshaft_team"
"""The role of PostgreSQL that a team's transactions run under. It owns nothing and passes no policy by."""
TEAM_SETTING = "lineshaft.tenant"
"""The setting of PostgreSQL that the policies compare rows with."""

_view: ContextVar[str] = ContextVar("second_wall_view", default=EVERYTHING)


def view() -> str:
    """Whose rows are seen now: a team's name, EVERYTHING or NOBODY."""
    return _view.get()


def look_as(team: str | None) -> None:
    """See a team's rows only from now on in this context, or everything (None): for who has checked who asks."""
    _view.set(EVERYTHING if team is None else team)


@contextmanager
def seen_by(whose: str) -> Iterator[None]:
    """See as a team, as NOBODY or as EVERYTHING for a while; whatever was set within is undone at the end."""
    token = _view.set(whose)
    try:
        yield
    finally:
        _view.reset(token)


def everything() -> AbstractContextManager[None]:
    """See everything for a while, whoever asks: for what counts over all teams, such as the free slots of a pool."""
    return seen_by(EVERYTHING)


def bounded(tenant: str | None) -> str | None:
    """Whose things a list may hold that does not come from PostgreSQL: those asked for, as far as they are seen now."""
    return tenant if view() == EVERYTHING else view()
