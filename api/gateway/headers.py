"""The headers of an answer: what it cost, where it came from, and how much of each limit is left, by the names that clients know."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from api.gateway.errors import Shape
from api.gateway.exchange import Header
from factory_infra.saas.metering.models import Standing
from factory_infra.saas.models.routing.answers import Answered, Head, Spoken

LIMITED = ("requests", "tokens")
"""The resources that the standard headers tell."""


def tightest(standings: Iterable[Standing]) -> dict[str, Standing]:
    """Of each resource the limit of which the smallest part is left."""
    found: dict[str, Standing] = {}
    for each in standings:
        resource = each.limit.resource
        if resource in LIMITED and (resource not in found or _part(each) < _part(found[resource])):
            found[resource] = each
    return found


def _part(standing: Standing) -> Decimal:
    return standing.remaining / standing.limit.cap if standing.limit.cap else Decimal(0)


def limit_headers(standings: Iterable[Standing], shape: Shape) -> list[Header]:
    """The standard headers of one kind of client; those of a resource without a limit are left out."""
    found: list[Header] = []
    prefix = "anthropic-ratelimit" if shape == "anthropic" else "x-ratelimit"
    for resource, standing in tightest(standings).items():
        numbers = {"limit": int(standing.limit.cap), "remaining": max(int(standing.remaining), 0)}
        reset = _moment(standing.reset_seconds) if shape == "anthropic" else duration(standing.reset_seconds)
        for name, value in {**numbers, "reset": reset}.items():
            whole = f"{prefix}-{resource}-{name}" if shape == "anthropic" else f"{prefix}-{name}-{resource}"
            found.append((whole.encode(), str(value).encode()))
    return found


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `120ms`, `7.5s`, `6m0s`, `1h2m3s`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest:.3f}".rstrip("0").rstrip(".") + "s"


def _moment(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=max(seconds, 0))).strftime("%Y-%m-%dT%H:%M:%SZ")


def answer_headers(answer: Answered | Spoken, shape: Shape) -> list[Header]:
    """The headers of a whole answer."""
    return [(b"x-lineshaft-cost", f"{answer.amount:f}".encode()), *head_headers(answer.head, shape)]


def head_headers(head: Head, shape: Shape) -> list[Header]:
    """The headers that are known when an answer begins; what a stream costs is known at its end only."""
    return [
        (b"x-lineshaft-model", _plain(head.model)),
        (b"x-lineshaft-backend", _plain(head.backend)),
        (b"x-lineshaft-cache", head.cache.encode()),
        (b"x-lineshaft-attempts", str(head.attempts).encode()),
        *limit_headers(head.standings, shape),
    ]


def _plain(text: str) -> bytes:
    """A name in the characters that a header may hold."""
    return "".join(each if " " <= each <= "~" else "?" for each in text).encode()
