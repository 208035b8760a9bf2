"""Teams' namespaces: made once, put right where they were changed, and never somebody else's."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from factory_infra.errors import Conflict, Forbidden
from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.manifests import ACCOUNT, parts_of
from factory_infra.iaas.kubernetes.service import TenantNamespaces
from tests.contract.kubernetes import emulated_pool
from tests.emulators.kubernetes.cluster import Emulator

pytestmark = pytest.mark.stack
ROOT = "/api/v1/namespaces/lineshaft-vision"
NET = "/apis/networking.k8s.io/v1/namespaces/lineshaft-vision/networkpolicies"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/lineshaft-vision"


class Place:
    """A cluster, its administrator, and our service with the documented role."""

    def __init__(self, emulator: Emulator, pool: KubernetesPool) -> None:
        self.emulator, self.pool = emulator, pool
        self.admin = Kubernetes(KubernetesPool(name="admin", kubeconfig=emulator.kubeconfig()))
        self.service = TenantNamespaces(Kubernetes(pool), pool)

    async def states(self) -> dict[str, str]:
        return {part.wall: part.state for part in await self.service.check("vision")}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place() -> AsyncIterator[Place]:
    async with Emulator() as emulator:
        opened = Place(emulator, emulated_pool(emulator, slots_max=2000))
        yield opened
        await opened.admin.aclose()


async def test_all_parts_are_made_and_stand(place: Place) -> None:
    assert set((await place.states()).values()) == {"missing"}
    await place.service.ensure("vision")
    assert await place.states() == dict.fromkeys(("pod_security", "quota", "network_policy", "rbac", "storage"), "up")


async def test_ensuring_twice_changes_nothing(place: Place) -> None:
    await place.service.ensure("vision")
    before = place.emulator.store.version
    await place.service.ensure("vision")
    assert place.emulator.store.version == before


@pytest.mark.parametrize(
    ("wall", "path", "change"),
    [
        ("pod_security", ROOT, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        ("quota", f"{ROOT}/resourcequotas/lineshaft", {"spec": {"hard": {"pods": "9k"}}}),
        ("quota", f"{ROOT}/resourcequotas/lineshaft", {"spec": {"hard": {"requests.nvidia.com/gpu": None}}}),
        ("network_policy", f"{NET}/lineshaft-closed", {"spec": {"podSelector": {"matchLabels": {"none": "such"}}}}),
        ("network_policy", f"{NET}/lineshaft-open", {"spec": {"ingress": [{}]}}),
        ("rbac", f"{RBAC}/roles/{ACCOUNT}", {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
        ("rbac", f"{RBAC}/rolebindings/{ACCOUNT}", {"subjects": []}),
    ],
)
async def test_what_was_changed_is_found_and_put_right(place: Place, wall: str, path: str, change: dict[str, object]) -> None:
    await place.service.ensure("vision")
    await place.admin.patch(path, change)
    found = {part.wall: part for part in await place.service.check("vision")}
    assert found[wall].state == "broken" and found[wall].note
    assert {part.state for name, part in found.items() if name != wall} == {"up"}
    await place.service.ensure("vision")
    assert set((await place.states()).values()) == {"up"}


async def test_an_amount_that_the_server_writes_otherwise_is_no_change(place: Place) -> None:
    await place.service.ensure("vision")
    await place.admin.patch(f"{ROOT}/resourcequotas/lineshaft", {"spec": {"hard": {"pods": "2k", "requests.nvidia.com/gpu": "2k"}}})
    assert (await place.states())["quota"] == "up"


async def test_a_namespace_of_somebody_else_is_never_touched(place: Place) -> None:
    await place.admin.create("/api/v1/namespaces", {"metadata": {"name": "lineshaft-payroll"}})
    for act in (place.service.ensure, place.service.remove):
        with pytest.raises(Conflict) as refused:
            await act("payroll")
        assert refused.value.error_code == "namespace_taken" and refused.value.remedy
    assert await place.admin.delete("/api/v1/namespaces/lineshaft-payroll")


async def test_removing_takes_everything_and_may_be_asked_twice(place: Place) -> None:
    await place.service.ensure("speech")
    for _ in range(2):
        await place.service.remove("speech")
    assert place.emulator.store.get("namespaces", "", "lineshaft-speech") is None
    assert list(place.emulator.store.all("roles", "lineshaft-speech")) == []


async def test_a_right_that_we_do_not_have_we_cannot_give(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = ({"apiGroups": [""], "resources": ["nodes"], "verbs": ["delete"]},)
    monkeypatch.setattr("factory_infra.iaas.kubernetes.manifests.TENANT_RULES", rules)
    with pytest.raises(Forbidden, match="not currently held"):
        await place.service.ensure("greedy")


def test_without_the_servers_address_its_ports_are_open(place: Place) -> None:
    parts = {part.name: part.manifest for part in parts_of(place.pool, "vision")}
    assert "'port': 6443" in str(parts["lineshaft-open"]) and "ipBlock" not in str(parts["lineshaft-open"])
