"""How a provider is found: by a literal name in a noun's registry, imported when it is first used."""

from collections.abc import Callable
from importlib import import_module
from typing import Generic, Protocol, TypeVar, cast

from factory_infra.foundation.pools.spec import PoolSpec
from factory_infra.settings import Settings

T = TypeVar("T", covariant=True)
P = TypeVar("P")


class ProviderClass(Protocol[T]):
    """How every provider is built: nothing connects at construction."""

    def __call__(self, pool: PoolSpec, settings: Settings) -> T:
        """Build the provider of a pool."""
        ...


def provider_class(target: str) -> ProviderClass[T]:
    """Return the class behind "module:Class"."""
    module_name, _, class_name = target.partition(":")
    return cast("ProviderClass[T]", getattr(import_module(module_name), class_name))


class Built(Generic[P]):
    """The providers that this process has built, one a pool; a pool whose entry in the file changed is built anew."""

    def __init__(self, build: Callable[[PoolSpec], P]) -> None:
        self._build = build
        self._built: dict[str, tuple[PoolSpec, P]] = {}

    def of(self, spec: PoolSpec) -> P:
        """Return the provider of a pool."""
        known = self._built.get(spec.name)
        if known is None or known[0] != spec:
            known = (spec, self._build(spec))
            self._built[spec.name] = known
        return known[1]
