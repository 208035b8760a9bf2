"""An installation's endpoints without processes: servers that answer as a test says, and a registry that knows every version."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from factory_infra.database import Database
from factory_infra.errors import EffectFailed, InvalidInput, NotFound, Unavailable
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.providers.wire import Answer
from factory_infra.paas.deployments.rollout_models import NewRollout, Rollout, RolloutPlan, RolloutState
from factory_infra.paas.deployments.rollouts import Rollouts
from factory_infra.paas.deployments.serving import Keep, Server
from factory_infra.paas.registry.models import ModelVersion

POOL = "fake"
VERSIONS = 5
ROWS = [[1.0]]


class FakeRegistry:
    """Versions 1 to 5 of any model."""

    async def get(self, tenant: str, model_name: str, version: int) -> ModelVersion:
        """A version."""
        if not 1 <= version <= VERSIONS:
            raise NotFound(f"{model_name} has no version {version}.", code="version_unknown")
        told = {"run_id": "r", "dataset": "d", "dataset_digest": "d", "algorithm": "a", "metrics": {}, "created_at": datetime.now(UTC)}
        return ModelVersion(tenant=tenant, model_name=model_name, version=version, **told)


@dataclass
class FakeServing:
    """Servers in this process. `fails` and the others hold versions that behave so."""

    up: dict[str, int] = field(default_factory=dict)
    """Server → version."""
    stopped: list[str] = field(default_factory=list)
    asked: Counter[int] = field(default_factory=Counter)
    fails: set[int] = field(default_factory=set)
    slow: dict[int, float] = field(default_factory=dict)
    wrong: set[int] = field(default_factory=set)
    refuses: set[int] = field(default_factory=set)
    unhealthy: set[int] = field(default_factory=set)
    start_seconds: float = 0.0
    starts: int = 0

    def prefix(self, version: ModelVersion) -> str:
        """As rows are served."""
        return "serve"

    async def start(self, endpoint: str, version: ModelVersion, job_id: str) -> Server:
        """Start a server, unless it is up."""
        base, _, number = job_id.rpartition("-")
        while f"{base}-{number}" in self.stopped:
            number = str(int(number) + 1)
        self.starts += 1
        await asyncio.sleep(self.start_seconds)
        if version.version in self.unhealthy:
            raise EffectFailed("it is not healthy", code="endpoint_unhealthy")
        self.up[f"{base}-{number}"] = version.version
        return Server(job_id=f"{base}-{number}", port=int(number) + 1)

    def kill(self, version: int) -> None:
        """Let the servers of a version die."""
        for job_id in [each for each, number in self.up.items() if number == version]:
            del self.up[job_id]
            self.stopped.append(job_id)

    async def ask(self, tenant: str, server: Server, rows: list[list[float]]) -> Answer:
        """Answer with the version's number."""
        version = self.up.get(server.job_id)
        if version is None:
            raise Unavailable("nobody is there", code="endpoint_down")
        self.asked[version] += 1
        await asyncio.sleep(self.slow.get(version, 0.0))
        if version in self.refuses:
            raise InvalidInput("the rows do not fit", code="features_wrong")
        if version in self.fails:
            raise Unavailable("it fails", code="endpoint_down")
        return Answer(labels=["wrong" if version in self.wrong else "right" for _ in rows])

    async def answers(self, tenant: str, server: Server) -> bool:
        """Whether it is up."""
        return server.job_id in self.up

    async def stop_others(self, tenant: str, endpoint: str, keep: Keep) -> None:
        """Stop what is not kept."""
        for job_id in [each for each in self.up if not keep.spares(each)]:
            del self.up[job_id]
            self.stopped.append(job_id)


class Place:
    """What a test acts on: endpoint `reader` of team vision."""

    def __init__(self, database: Database, folder: Path, serving: FakeServing) -> None:
        self.database = database
        self.serving = serving
        self.folder = folder
        self.deployments = self.another()
        self.rollouts = Rollouts(database, self.deployments)

    def another(self) -> LocalDeployments:
        """What another process would hold."""
        made = LocalDeployments(self.database, FakeRegistry(), LocalJobs(self.folder / "jobs"), self.folder / "endpoints", "http://x")  # type: ignore[arg-type]
        made.elsewhere = lambda pool: self.serving
        return made

    async def deploy(self, version: int = 1) -> None:
        """Put a version live at once."""
        await self.deployments.deploy("vision", "reader", "digits", version, f"deploy/{version}", POOL)

    async def begin(self, version: int = 2, key: str = "plan-1/rollout", **plan: object) -> Rollout:
        """Begin a roll-out whose steps last as long as their requests need."""
        fields = {"step_seconds": 0, "requests_min": 20, **plan}
        wanted = NewRollout(
            tenant="vision", endpoint="reader", model_name="digits", version=version, key=key, plan=RolloutPlan.model_validate(fields)
        )
        return await self.rollouts.start(wanted)

    async def turn(self, name: str) -> Rollout:
        """One turn with all that was counted before."""
        await self.deployments.traffic.tally.write()
        return await self.rollouts.turn(name)

    async def ask(self, times: int = 1) -> Counter[int]:
        """Ask so often, and say which versions answered. None may fail."""
        answers = [await self.deployments.predict("vision", "reader", ROWS) for _ in range(times)]
        return Counter(each.version for each in answers)

    async def until_ended(self, name: str, per_turn: int = 200) -> Rollout:
        """Ask and turn until it has ended."""
        for _ in range(50):
            found = await self.turn(name)
            if found.state.ended:
                return found
            await self.ask(per_turn)
        raise AssertionError(f"roll-out {found.state} at step {found.step}: {found.reason}")

    async def live_version(self) -> int:
        """What the endpoint answers with."""
        return (await self.deployments.get("vision", "reader")).version


BAD = {RolloutState.ROLLED_BACK, RolloutState.FAILED, RolloutState.ABORTED}
