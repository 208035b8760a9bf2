"""What every queue uses and may use, along the path from it to the top of the tree: exact integers, changed in place."""

from collections.abc import Mapping, Sequence
from typing import Final

from factory_infra.iaas.scheduling.models import Shape
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, ancestor_of

BASE: Final = ("gpus", "cpus", "memory_gib")
UNITS: Final = {"gpus": 1000, "cpus": 1000, "memory_gib": 1024}
"""By how much an amount of a file is multiplied: thousandths of GPUs and cores, MiB of memory."""
UNLIMITED: Final = 1 << 62

Need = tuple[int, ...]
"""An amount of every resource of the tree, in the order of `Quotas.resources`."""


class Quotas:
    """The tree of queues with what each uses now.

    Node 0 is the top; a queue that nobody named becomes a node of its own when it is first asked for.
    """

    def __init__(self, tree: QuotaTree | None = None, *, borrowing: bool = True) -> None:
        """Build it with nothing in use. Without `borrowing` no queue exceeds what it is guaranteed."""
        specs = tree.queues if tree is not None else ()
        named = {resource for spec in specs for amounts in (spec.guaranteed, spec.limit, spec.borrowing_limit) for resource in amounts}
        self.resources: tuple[str, ...] = (*BASE, *sorted(named - set(BASE)))
        self.models: dict[str, int] = {name.partition(":")[2]: at for at, name in enumerate(self.resources) if ":" in name}
        """GPU types that have quotas of their own, by their place among the resources."""
        self.names: list[str] = [""]
        self.children: list[list[int]] = [[]]
        self.moved: list[int] = [-1]
        self.index: dict[str, int] = {}
        self.paths: list[tuple[int, ...]] = [(0,)]
        """From a node up to the top, both included."""
        zeros = [0] * len(self.resources)
        self.usage: list[list[int]] = [list(zeros)]
        self.guaranteed: list[list[int | None]] = [[None] * len(zeros)]
        self.caps: list[list[int]] = [[UNLIMITED] * len(zeros)]
        self.weights: list[float] = [1.0]
        self.any_guaranteed = any(spec.guaranteed for spec in specs)
        self.changes = 0
        if tree is not None:
            self._load(tree, borrowing)

    def _load(self, tree: QuotaTree, borrowing: bool) -> None:
        waiting = {spec.name: spec for spec in tree.queues}
        while waiting:
            for name, spec in list(waiting.items()):
                parent = tree.parent_of(spec)
                if parent is None or parent in self.index:
                    node = self._add(name, self.index[parent] if parent is not None else 0)
                    self._rule(node, spec, borrowing)
                    del waiting[name]

    def _add(self, name: str, parent: int) -> int:
        node = len(self.names)
        self.names.append(name)
        self.index[name] = node
        self.paths.append((node, *self.paths[parent]))
        self.children[parent].append(node)
        self.children.append([])
        self.moved.append(-1)
        width = len(self.resources)
        self.usage.append([0] * width)
        self.guaranteed.append([None] * width)
        self.caps.append([UNLIMITED] * width)
        self.weights.append(1.0)
        return node

    def _rule(self, node: int, spec: QuotaSpec, borrowing: bool) -> None:
        self.weights[node] = spec.weight
        for at, resource in enumerate(self.resources):
            sure = _units(resource, spec.guaranteed)
            bounds = [_units(resource, spec.limit)]
            lent = _units(resource, spec.borrowing_limit)
            if sure is not None and not (borrowing and spec.borrowing):
                bounds.append(sure)
            elif lent is not None:
                bounds.append((sure or 0) + lent)
            self.guaranteed[node][at] = sure
            self.caps[node][at] = min((bound for bound in bounds if bound is not None), default=UNLIMITED)

    def node(self, queue: str) -> int:
        """The node of a queue; one that is not in the tree is put below its nearest ancestor by name, with no quota of its own."""
        found = self.index.get(queue)
        if found is None:
            above = ancestor_of(queue, set(self.index))
            found = self._add(queue, self.index[above] if above is not None else 0)
        return found

    def need(self, shape: Shape, members: int, model: str | None = None) -> Need:
        """What so many members take of every resource; of a GPU type's own quota only where the type is known."""
        base = (shape.milli * members, shape.cpu_milli * members, shape.memory_mib * members)
        if len(self.resources) == len(BASE):
            return base
        return (*base, *(base[0] if self.models.get(model or "") == at else 0 for at in range(len(BASE), len(self.resources))))

    def blocking(self, node: int, need: Need) -> tuple[int, int] | None:
        """The lowest node of a queue's path, and the resource, whose cap would be exceeded; None where all hold."""
        for each in self.paths[node]:
            usage, caps = self.usage[each], self.caps[each]
            for at, amount in enumerate(need):
                if amount and usage[at] + amount > caps[at]:
                    return each, at
        return None

    def members_max(self, node: int, shape: Shape, model: str | None = None) -> int:
        """How many members of a shape the caps leave room for now."""
        one = self.need(shape, 1, model)
        rooms = [
            (self.caps[each][at] - self.usage[each][at]) // amount for each in self.paths[node] for at, amount in enumerate(one) if amount
        ]
        return max(0, min(rooms, default=UNLIMITED))

    def charge(self, node: int, need: Need, sign: int = 1) -> None:
        """Book an amount on a queue and all above it; with `sign` -1 take it off again."""
        for each in self.paths[node]:
            usage = self.usage[each]
            for at, amount in enumerate(need):
                usage[at] += sign * amount
            self.moved[each] = self.changes
        self.changes += 1

    def changed_since(self, node: int, changes: int) -> bool:
        """Whether the usage of a queue or of one above it, the top left out, changed after so many changes of the whole."""
        return any(self.moved[each] >= changes for each in self.paths[node][:-1])

    def borrows(self, node: int, need: Need) -> bool:
        """Whether a queue that takes so much runs on what others do not use: beyond a guarantee on its path, or without any."""
        if not self.any_guaranteed:
            return False
        for at, amount in enumerate(need):
            if amount and at < len(BASE):
                sure = [(self.guaranteed[each][at], self.usage[each][at]) for each in self.paths[node][:-1]]
                named = [(bound, used) for bound, used in sure if bound is not None]
                if any(used + amount > bound for bound, used in named) or (at == 0 and not named):
                    return True
        return False

    def may_reclaim(self, node: int, need: Need, holder: int) -> bool:
        """Whether a queue may take back from another: where their paths part, its branch stays within its guarantee, the other's does not.

        Only resources that are needed count; a branch with no guarantee has none to ask for, and all that it holds is borrowed.
        """
        mine, other = self.fork(node, holder)
        if mine is None or other is None or mine == other:
            return False
        wanted = [at for at, amount in enumerate(need) if amount]
        sure, held = self.guaranteed[mine], self.usage[mine]
        owed = [at for at in wanted if sure[at] is not None]
        if not owed or (need[0] and sure[0] is None) or any(held[at] + need[at] > (sure[at] or 0) for at in owed):
            return False
        return self.exceeds(other, owed)

    def owed(self, node: int, need: Need) -> bool:
        """Whether a queue, or one of those above it, would stay within its guarantee with so much more: then others owe it."""
        if not self.any_guaranteed:
            return False
        for each in self.paths[node][:-1]:
            sure, held = self.guaranteed[each], self.usage[each]
            named = [at for at, amount in enumerate(need) if amount and sure[at] is not None]
            if named and all(held[at] + need[at] <= (sure[at] or 0) for at in named):
                return True
        return False

    def debtors(self, node: int, need: Need) -> list[int]:
        """All queues from which a queue may take back, in the order of the tree: what `may_reclaim` says, asked of branches first."""
        found: list[int] = []
        for above, mine in zip(self.paths[node][1:], self.paths[node], strict=False):
            for other in self.children[above]:
                if other != mine and self.may_reclaim(node, need, other):
                    found += self._below(other)
        return sorted(found)

    def _below(self, node: int) -> list[int]:
        found = [node]
        for each in self.children[node]:
            found += self._below(each)
        return found

    def exceeds(self, node: int, resources: Sequence[int]) -> bool:
        """Whether a node uses more than it is guaranteed of any of the resources; what is not guaranteed counts as nothing."""
        return any(self.usage[node][at] > (self.guaranteed[node][at] or 0) for at in resources)

    def fork(self, one: int, other: int) -> tuple[int | None, int | None]:
        """The children of the lowest common node through which two queues hang; None for one that is that node itself."""
        above, below = self.paths[one], self.paths[other]
        shared = set(above) & set(below)
        mine = [each for each in above if each not in shared]
        theirs = [each for each in below if each not in shared]
        return (mine[-1] if mine else None), (theirs[-1] if theirs else None)

    def copy(self) -> "Quotas":
        """Return one with the same usage that goes its own way from here."""
        made = Quotas.__new__(Quotas)
        made.__dict__.update(self.__dict__)
        made.names, made.index, made.paths = list(self.names), dict(self.index), list(self.paths)
        made.moved = list(self.moved)
        made.children = [list(below) for below in self.children]
        made.usage, made.guaranteed = [list(row) for row in self.usage], list(self.guaranteed)
        made.caps, made.weights = list(self.caps), list(self.weights)
        return made


def told(resource: str, amount: int) -> str:
    """An amount of a resource in words, such as `8 GPUs` or `12 GiB`."""
    value = amount / UNITS[resource.partition(":")[0]]
    kind, _, model = resource.partition(":")
    unit = {"gpus": "GPUs", "cpus": "cores", "memory_gib": "GiB"}[kind]
    return f"{value:g} {unit}" + (f" of {model}" if model else "")


def _units(resource: str, amounts: Mapping[str, float]) -> int | None:
    found = amounts.get(resource)
    return None if found is None else round(found * UNITS[resource.partition(":")[0]])
