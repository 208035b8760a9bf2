"""What tests of the ledger share: charges and reservations at random, and a team to charge."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from factory_infra.saas.metering.models import Attribution, Charge, Transfer, Usage
from factory_infra.saas.metering.posting import Reservation, correcting, hit, reserving, settling

START = datetime(2026, 10, 28, tzinfo=UTC)
TEAMS = ("vision", "language")


def money(chance: random.Random, most: int = 10**6) -> Decimal:
    """An amount with all the digits that the ledger keeps."""
    return Decimal(chance.randrange(most)) / Decimal(10**9) + Decimal(chance.randrange(1000)) / Decimal(10**12)


def held_at_random(chance: random.Random, name: str) -> Reservation:
    """A reservation of some team, project, key, agent and backend."""
    whose = Attribution(
        tenant=chance.choice(TEAMS),
        project=chance.choice(("", "maps", "=cmd()")),
        key_id=chance.choice(("", "k1", "k2")),
        agent=chance.choice(("", "coder")),
        plan_id=chance.choice(("", "p1")),
    )
    return Reservation(name=name, amount=money(chance), whose=whose, price_version="v", backend=chance.choice(("a", "b")))


def charge_at_random(chance: random.Random) -> Charge:
    """Some tokens of some model."""
    return Charge(
        unit="tokens",
        subject=chance.choice(("small", "large")),
        quantity=Decimal(chance.randrange(5000)),
        quantity_out=Decimal(chance.randrange(5000)),
        quantity_cached=Decimal(chance.randrange(500)),
        quantity_reasoning=Decimal(chance.randrange(500)),
    )


def at_random(chance: random.Random, count: int) -> list[Transfer]:
    """The transfers of so many calls, over some days: settled for less, for more, or for nothing, corrected, cached."""
    found: list[Transfer] = []
    for number in range(count):
        held, charge = held_at_random(chance, f"call-{number}/1"), charge_at_random(chance)
        at = START + timedelta(seconds=chance.randrange(6 * 24 * 3600))
        if chance.random() < 0.1:
            found.append(hit(held, charge.subject, Usage(tokens_in=5, tokens_out=7), at))
            continue
        amount = chance.choice((Decimal(0), held.amount, money(chance), money(chance)))
        ended = at + timedelta(seconds=chance.randrange(7200))
        found += [reserving(held, charge, at), *settling(held, charge, amount, ended, "done")]
        if amount and chance.random() < 0.2:
            back = chance.choice((amount, -amount / 2))
            found.append(correcting(held, charge, back.quantize(Decimal("1e-12")), ended + timedelta(days=1), (1, "ann: wrong")))
    return found
