"""How a pool's scheduler decides, and what each queue may use: the strict models of both files, read with the line of a mistake."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from factory_infra.errors import InvalidInput
from factory_infra.strict_yaml import composed, line_in, load_strict

Order = Literal["fair", "fifo", "shortest", "priority"]
PreemptionScope = Literal["off", "queue", "any"]
QueueName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)*$", max_length=200)]
ResourceName = Annotated[str, StringConstraints(pattern=r"^(gpus(:[A-Za-z0-9._-]{1,64})?|cpus|memory_gib)$")]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Amounts = dict[ResourceName, Amount]
M = TypeVar("M", bound=BaseModel)
MOMENT_SECONDS: Final = 1.0
"""What may not happen in one pass is looked at again after so long."""


class SchedulingPolicy(BaseModel):
    """The section `scheduling:` of a pool: how those that wait are put in order, placed, and given way to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    placement: str = Field(default="", pattern=r"^[a-z_0-9]{0,40}$", description="Which node of those that fit; our default one if empty.")
    order: Order = Field(
        default="fair", description="Who comes first: dominant-resource fair share, arrival, the shortest, or priority alone."
    )
    backfill: bool = Field(default=True, description="Smaller ones may pass the head of the line where that does not delay it.")
    reservations: int = Field(default=1, ge=1, le=16, description="For so many at the head of the line, capacity is kept free in time.")
    backfill_depth: int = Field(
        default=32, ge=1, le=10_000, description="So many workloads of one kind in one queue are tried behind a reservation."
    )
    preemption: PreemptionScope = Field(default="queue", description="Whom a higher priority may displace: none, its own queue, or any.")
    borrowing: bool = Field(default=True, description="A queue may use what others leave unused of their quota.")
    reclaim: bool = Field(default=True, description="A queue gets its own quota back from those that borrowed it.")
    guaranteed_seconds: float = Field(default=300.0, ge=0, le=31_536_000, description="Nothing is displaced before it has run so long.")
    starvation_seconds: float = Field(
        default=14_400.0, gt=0, le=31_536_000, description="Who has waited so long goes to the head of the line."
    )
    history_half_life_seconds: float = Field(
        default=86_400.0, ge=0, le=31_536_000, description="What was used so long ago counts half in the fair share; 0 for no history."
    )
    elastic: bool = Field(
        default=True, description="Elastic workloads may start with fewer members, and shrink in place of being displaced."
    )
    regrow: bool = Field(
        default=True, description="Elastic workloads that run with fewer members get the others where nobody who waits could use the room."
    )
    deadline_margin: float = Field(
        default=1.25, ge=1, le=10, description="A deadline is near when its time left is so many times the run's."
    )
    restart_seconds: float = Field(default=120.0, ge=0, le=86_400, description="What it takes to start again after an interruption.")
    price_weight: float = Field(
        default=1.0, ge=0, le=1, description="How much the expected cost counts in the choice of a pool; 0: their order."
    )

    @property
    def undisturbed_seconds(self) -> float:
        """After how long one that has started may be displaced: its guaranteed time, and never in the pass that starts it."""
        return max(self.guaranteed_seconds, MOMENT_SECONDS)


class QuotaSpec(BaseModel):
    """One node of the tree: a queue that is submitted to, or what several of them share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: QueueName
    parent: QueueName | None = Field(default=None, description="The node above; if left out, that of the longest prefix of the name.")
    guaranteed: Amounts = Field(default={}, description="What it gets whenever it asks. What is not named is not guaranteed.")
    limit: Amounts = Field(default={}, description="What it never exceeds, borrowed included.")
    weight: float = Field(default=1.0, gt=0, le=1e6, allow_inf_nan=False, description="Its part among its siblings in the fair share.")
    borrowing: bool = Field(default=True, description="Whether it may exceed its guaranteed quota, up to its limit.")
    borrowing_limit: Amounts = Field(default={}, description="By how much at most it exceeds it.")


class QuotaTree(BaseModel):
    """All quotas. A queue that is not named here is charged to its nearest ancestor by name that is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queues: tuple[QuotaSpec, ...] = Field(default=(), max_length=10_000)

    @model_validator(mode="after")
    def _is_a_tree(self) -> "QuotaTree":
        for check in (_names, _parents, _cycles, _amounts, _children):
            check(self.queues)
        return self

    def parent_of(self, spec: QuotaSpec) -> str | None:
        """The name of the node above, or None for one at the top."""
        return spec.parent if spec.parent is not None else ancestor_of(spec.name, {each.name for each in self.queues})


def ancestor_of(name: str, known: set[str]) -> str | None:
    """The longest proper prefix of a path that is known."""
    while "/" in name:
        name = name.rpartition("/")[0]
        if name in known:
            return name
    return None


def read_policy(text: str, file: str = "scheduling.yaml") -> SchedulingPolicy:
    """Read a policy by itself. Raises InvalidInput `scheduling_invalid` that names file and line."""
    return read_strict(SchedulingPolicy, text, (file, "scheduling_invalid", "docs/scheduling.md has every field"))


def read_quotas(text: str, file: str = "quotas.yaml") -> QuotaTree:
    """Read a tree of quotas. Raises InvalidInput `quotas_invalid` that names file and line."""
    return read_strict(QuotaTree, text, (file, "quotas_invalid", "docs/scheduling.md shows a whole tree"))


def load_quotas(path: Path) -> QuotaTree:
    """Read a file of quotas. Raises InvalidInput `quotas_invalid`, for a file that cannot be read too."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = f"{path.name} cannot be read: {error}."
        raise InvalidInput(reason, remedy="Put it there in UTF-8, or leave the setting out.", code="quotas_invalid") from error
    return read_quotas(text, path.name)


def _fault(queues: Sequence[QuotaSpec], index: int, reason: str) -> PydanticCustomError:
    return PydanticCustomError("quota_tree", "{reason}", {"reason": f"queue '{queues[index].name}' {reason}", "queue_index": index})


def _names(queues: Sequence[QuotaSpec]) -> None:
    seen: set[str] = set()
    for index, spec in enumerate(queues):
        if spec.name in seen:
            raise _fault(queues, index, "is given twice")
        seen.add(spec.name)


def _parents(queues: Sequence[QuotaSpec]) -> None:
    known = {spec.name for spec in queues}
    for index, spec in enumerate(queues):
        if spec.parent is not None and spec.parent not in known:
            raise _fault(queues, index, f"has the parent '{spec.parent}', which is not in this file")


def _above(queues: Sequence[QuotaSpec]) -> dict[str, str | None]:
    known = {spec.name for spec in queues}
    return {spec.name: spec.parent if spec.parent is not None else ancestor_of(spec.name, known) for spec in queues}


def _cycles(queues: Sequence[QuotaSpec]) -> None:
    above = _above(queues)
    for index, spec in enumerate(queues):
        path, name = [spec.name], above[spec.name]
        while name is not None and name not in path:
            path.append(name)
            name = above[name]
        if name == spec.name:
            raise _fault(queues, index, f"lies below itself: {' > '.join([*path, spec.name])}")


def _amounts(queues: Sequence[QuotaSpec]) -> None:
    for index, spec in enumerate(queues):
        for resource, amount in spec.guaranteed.items():
            if amount > spec.limit.get(resource, amount):
                raise _fault(queues, index, f"is guaranteed {amount:g} {resource}, and limited to {spec.limit[resource]:g}")
        if spec.borrowing_limit and not spec.borrowing:
            raise _fault(queues, index, "has a borrowing_limit, and borrows nothing")


def _children(queues: Sequence[QuotaSpec]) -> None:
    above, named = _above(queues), {spec.name: spec for spec in queues}
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for index, spec in enumerate(queues):
        parent = named.get(above[spec.name] or "")
        if parent is None:
            continue
        for resource, amount in spec.guaranteed.items():
            sums[parent.name, resource] += amount
            if sums[parent.name, resource] > parent.guaranteed.get(resource, float("inf")) + 1e-9:
                total, allowed = sums[parent.name, resource], parent.guaranteed[resource]
                raise _fault(
                    queues, index, f"takes the children of '{parent.name}' to {total:g} {resource}, and it is guaranteed {allowed:g}"
                )
        for resource, amount in spec.limit.items():
            if amount > parent.limit.get(resource, amount):
                raise _fault(
                    queues,
                    index,
                    f"has the limit {amount:g} {resource}, above that of its parent '{parent.name}': {parent.limit[resource]:g}",
                )


def read_strict(model: type[M], text: str, said: tuple[str, str, str]) -> M:
    """Read a YAML text as a strict model.

    Args:
        model: what it is to be.
        text: the whole file.
        said: for the refusal: the file's name, the error's code, and where its fields are described.

    Raises:
        InvalidInput: names file, line and place.
    """
    file, code, remedy = said
    try:
        found = load_strict(text)
        return model.model_validate({} if found is None else found)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark is not None else file
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise InvalidInput(f"{where}: {problem}.", remedy=f"Mend it; {remedy}.", code=code) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place: tuple[int | str, ...] = first["loc"]
        if "queue_index" in first.get("ctx", {}):
            place = ("queues", int(first["ctx"]["queue_index"]))
        at = ".".join(str(part) for part in place)
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        where = f"{file}, line {line_in(composed(text), place)}" + (f", at {at}" if at else "")
        raise InvalidInput(f"{where}: {reason}.", remedy=f"Mend it; {remedy}.", code=code) from error
