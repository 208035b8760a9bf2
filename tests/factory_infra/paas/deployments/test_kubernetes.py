"""Endpoints' servers in an emulated cluster: proved, asked through its API server, mended by it, and removed with all that is theirs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.paas.deployments.providers.kubernetes import KubernetesServing
from factory_infra.paas.deployments.providers.kubernetes_manifests import PART_BYTES, Served, ServerManifests
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.rollout_models import NewRollout, RolloutPlan, RolloutState, Strategy
from factory_infra.paas.deployments.rollouts import Rollouts
from factory_infra.paas.deployments.serving import Keep, Server
from factory_infra.settings import Settings
from tests.contract.kubernetes import emulated_pool
from tests.emulators.kubernetes.cluster import Emulator
from tests.tiny_onnx import ROWS, TinyRegistry
from tests.waiting import eventually

pytestmark = pytest.mark.stack
NAMESPACE = "lineshaft-vision"
OWNED = ("deployments", "services", "configmaps", "secrets", "networkpolicies", "inferenceservices")


class Place:
    """A cluster, and what serves in it."""

    def __init__(self, emulator: Emulator, home: Path) -> None:
        self.emulator = emulator
        self.pool = emulated_pool(emulator)
        self.serving = KubernetesServing(self.pool, Settings(home=home), TinyRegistry())

    async def start(self, version: int, job_id: str) -> Server:
        """Start a server of endpoint reader."""
        return await self.serving.start("reader", await TinyRegistry().get("vision", "digits", version), job_id)

    def left(self) -> list[str]:
        """What is in the team's namespace of servers."""
        found = [(plural, body) for plural in OWNED for body in self.emulator.store.all(plural, NAMESPACE)]
        return [
            f"{plural}/{body['metadata']['name']}" for plural, body in found if "lineshaft.io/server" in body["metadata"].get("labels", {})
        ]

    def pods(self) -> list[str]:
        """The pods that are up."""
        return [pod["metadata"]["name"] for pod in self.emulator.pods(NAMESPACE, {}) if pod["status"].get("phase") == "Running"]


@pytest.fixture(params=[(), ("kserve",)], ids=["deployment", "kserve"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An emulated cluster without and with KServe, asked with the documented role."""
    async with Emulator(request.param) as emulator:
        made = Place(emulator, tmp_path)
        yield made
        await made.serving.close()


async def test_a_server_proves_itself_answers_is_mended_and_leaves_nothing(place: Place) -> None:
    server = await place.start(1, "serve-reader-a-0")
    assert await place.start(1, "serve-reader-a-0") == server and len(place.pods()) == 1
    answer = await place.serving.ask("vision", server, ROWS)
    assert answer.labels == ["high" if sum(row) > 0.5 else "low" for row in ROWS] and answer.probabilities is not None
    with pytest.raises(InvalidInput) as raised:
        await place.serving.ask("vision", server, [[1.0, 2.0, 3.0]])
    assert raised.value.error_code == "features_wrong"
    other = await place.start(2, "serve-reader-b-0")
    await place.serving.stop_others("vision", "elsewhere", Keep())
    await place.serving.stop_others("vision", "reader", Keep(bases=frozenset({"serve-reader-b"})))
    assert not await place.serving.answers("vision", server) and await place.serving.answers("vision", other)
    await place.serving.stop_others("vision", "reader", Keep())
    await eventually(lambda: place.left() == [] and place.pods() == [], 30)
    with pytest.raises(Unavailable):
        await place.serving.ask("vision", other, ROWS)


async def test_one_that_answers_otherwise_than_in_training_is_taken_away_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    holdout = await place.serving._rows.holdout(await TinyRegistry().get("vision", "digits", 1))
    lies = holdout.model_copy(update={"predictions": ["other" for _ in holdout.predictions]})

    async def lied(*_: object) -> object:
        return lies

    monkeypatch.setattr(place.serving._rows, "holdout", lied)
    with pytest.raises(EffectFailed):
        await place.start(1, "serve-reader-a-0")
    await eventually(lambda: place.left() == [], 30)


async def test_a_rollout_in_a_cluster_is_the_same_rollout(database: Database, tmp_path: Path) -> None:
    async with Emulator() as emulator:
        place = Place(emulator, tmp_path)
        deployments = LocalDeployments(database, TinyRegistry(), LocalJobs(tmp_path / "jobs"), tmp_path / "endpoints", "http://x")
        deployments.elsewhere = lambda pool: place.serving
        rollouts = Rollouts(database, deployments)
        await deployments.deploy("vision", "reader", "digits", 1, "deploy/1", "cluster")
        plan = RolloutPlan(strategy=Strategy.BLUE_GREEN, step_seconds=0, requests_min=5)
        wanted = NewRollout(tenant="vision", endpoint="reader", model_name="digits", version=2, key="k", plan=plan)
        begun = await rollouts.start(wanted)
        await rollouts.turn(begun.id)
        assert {(await deployments.predict("vision", "reader", ROWS)).version for _ in range(6)} == {2}
        await deployments.traffic.tally.write()
        assert (await rollouts.turn(begun.id)).state is RolloutState.PROMOTED
        await deployments.retire("vision", "reader", "retire")
        await eventually(lambda: place.left() == [], 30)
        await deployments.close()
        await place.serving.close()


async def test_a_large_model_comes_in_pieces_and_no_token_lies_in_the_open() -> None:
    pool = KubernetesPool(name="cluster", image="image")
    version = await TinyRegistry().get("vision", "digits", 1)
    served = Served("reader", version, "serve-reader-a-0", "t" * 64, b"x" * (2 * PART_BYTES + 1), b"{}")
    made = ServerManifests(pool, served, kserve=False).parts("uid")
    names = [str(dict(part)["metadata"]["name"]) for place, part in made if place.endswith("configmaps")]  # type: ignore[index]
    assert [name.rpartition("-")[2] for name in names] == ["000", "001", "002", "000"]
    assert all("t" * 64 not in str(part) for _, part in made)
