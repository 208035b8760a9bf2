"""Amounts as Kubernetes writes them."""

import re
from decimal import Decimal

_UNITS: dict[str, Decimal] = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
_FORM = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d+)|([numkMGTPE]i?|Ki)?)")


def quantity(text: str) -> Decimal | None:
    """Read `500m`, `4Gi`, `2`, `1e3`; None for what is no amount."""
    found = _FORM.fullmatch(text.strip())
    if found is None or (found[3] or "") not in _UNITS:
        return None
    return Decimal(found[1]) * (Decimal(10) ** int(found[2]) if found[2] else _UNITS[found[3] or ""])
