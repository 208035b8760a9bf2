"""Which class is behind each name of a policy of placement."""

from importlib import import_module
from typing import Protocol, cast

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.placement.interface import Placement
from factory_infra.iaas.scheduling.placement.mix import Mix

POLICIES: dict[str, str] = {
    "first_fit": "factory_infra.iaas.scheduling.placement.classical:FirstFit",
    "best_fit": "factory_infra.iaas.scheduling.placement.classical:BestFit",
    "worst_fit": "factory_infra.iaas.scheduling.placement.classical:WorstFit",
    "random": "factory_infra.iaas.scheduling.placement.classical:Random",
    "fgd": "factory_infra.iaas.scheduling.placement.scored:Fgd",
    "fgd_stranding": "factory_infra.iaas.scheduling.placement.scored:StrandingFgd",
    "least_leftover": "factory_infra.iaas.scheduling.placement.scored:LeastLeftover",
}
"""A new policy is one class and one line here. Its module is imported when it is first built: the scored ones bring Numba."""

DEFAULT_POLICY = "least_leftover"


class PolicyClass(Protocol):
    """How every policy is built."""

    def __call__(self, seed: int, typical: Mix | None) -> Placement:
        """Build it, as `build` says."""
        ...


def build(name: str = DEFAULT_POLICY, typical: Mix | None = None, seed: int = 0) -> Placement:
    """Build a policy by its name.

    Args:
        name: one of `POLICIES`.
        typical: the mix of shapes that is to be expected, for policies that look at it; None to learn it from what arrives.
        seed: fixes the order of nodes in which ties are broken.

    Raises:
        InvalidInput: there is no policy of this name.
    """
    if name not in POLICIES:
        raise InvalidInput(f"There is no placement {name}.", remedy=f"Use one of {', '.join(sorted(POLICIES))}.")
    module_name, _, class_name = POLICIES[name].partition(":")
    return cast("PolicyClass", getattr(import_module(module_name), class_name))(seed, typical)
