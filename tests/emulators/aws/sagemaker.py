"""SageMaker training: jobs as processes of this machine, one a host, with their states in time."""

import json
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.emulators.aws.containers import Container
from tests.emulators.aws.world import Answer, Json, Request, World

GROUP = "/aws/sagemaker/TrainingJobs"
LOOK_SECONDS = 0.02


@dataclass
class Training:
    """One account's training jobs."""

    jobs: dict[str, "TrainingJob"] = field(default_factory=dict)
    holding: str = ""
    """While it is set, jobs stay in their start with this message."""
    failing: str = ""
    """A reason with which jobs fail before they start."""


@dataclass
class TrainingJob:
    """One training job."""

    world: World
    region: str
    asked: Json
    status: str = "InProgress"
    secondary: str = "Starting"
    message: str = "Starting the training job"
    reason: str = ""
    created: float = field(default_factory=time.time)
    started: float = 0.0
    ended: float = 0.0
    containers: list[Container] = field(default_factory=list)
    stopping: bool = False
    interrupted: bool = False
    changed: threading.Event = field(default_factory=threading.Event)

    @property
    def training(self) -> Training:
        """The account's."""
        found: Training = self.world.extra["training"]
        return found

    def live(self) -> None:
        """Its whole life, in a thread of its own."""
        while self.training.holding and not self.stopping:
            self.message = self.training.holding
            self.changed.wait(LOOK_SECONDS)
        if self.training.failing:
            self._finish("Failed", "Failed", self.training.failing)
            return
        while not self.stopping:
            code = self._run()
            if not self.interrupted or self.stopping:
                break
            self.secondary, self.interrupted = "Interrupted", False
        if self.stopping:
            self._finish("Stopped", "Stopped", "")
        elif code == 0:
            self._finish("Completed", "Completed", "")
        else:
            self._finish("Failed", "Failed", f"AlgorithmError: {self._said}, exit code: {code}")

    def _run(self) -> int:
        hosts = [f"127.0.0.{number}" for number in range(1, int(self.asked["ResourceConfig"]["InstanceCount"]) + 1)]
        names = [f"{self.asked['TrainingJobName']}/algo-{number}-{time.time_ns() // 1000}" for number in range(1, len(hosts) + 1)]
        self.containers = [Container(self.world, self.region, GROUP, name) for name in names]
        with tempfile.TemporaryDirectory() as folder:
            for host, container in zip(hosts, self.containers, strict=True):
                container.run(self.asked["Environment"] | {"LINESHAFT_CARRIER_ML_DIR": str(ml_dir(Path(folder) / host, host, hosts))})
            self.started, self.secondary = time.time(), "Training"
            if self.stopping:
                self.stop()
            codes = self._wait()
            said = Path(folder) / hosts[0] / "output/failure"
            self._said = said.read_text() if said.exists() else ""
        return next((code for code in codes if code), 0)

    def _wait(self) -> list[int]:
        """Wait for all hosts; when one fails the others are ended."""
        while not all(each.ended.is_set() for each in self.containers):
            if any(each.ended.is_set() and each.code for each in self.containers) and not self.containers[0].ended.wait(2.0):
                for each in self.containers:
                    each.stop(1.0)
            self.containers[-1].ended.wait(LOOK_SECONDS)
        return [each.wait() for each in self.containers]

    def stop(self) -> None:
        """StopTrainingJob."""
        self.stopping, self.status, self.secondary = True, "Stopping", "Stopping"
        self.changed.set()
        for container in self.containers:
            threading.Thread(target=container.stop, daemon=True).start()

    def interrupt(self) -> None:
        """Take a spot machine away; the job starts again by itself."""
        self.interrupted = True
        for container in self.containers:
            threading.Thread(target=container.stop, daemon=True).start()

    def _finish(self, status: str, secondary: str, reason: str) -> None:
        self.status, self.secondary, self.reason, self.ended = status, secondary, reason, time.time()

    def describe(self) -> Json:
        """As in DescribeTrainingJob."""
        told: Json = {"TrainingJobName": self.asked["TrainingJobName"], "TrainingJobStatus": self.status, "SecondaryStatus": self.secondary}
        told |= {"CreationTime": self.created, "ResourceConfig": self.asked["ResourceConfig"]}
        told |= {"FailureReason": self.reason} if self.reason else {}
        told |= {"TrainingStartTime": self.started} if self.started else {}
        told |= {"TrainingEndTime": self.ended} if self.ended else {}
        return told | {"SecondaryStatusTransitions": [{"Status": self.secondary, "StartTime": self.created, "StatusMessage": self.message}]}


def ml_dir(folder: Path, host: str, hosts: list[str]) -> Path:
    """What a host finds under /opt/ml."""
    (folder / "input/config").mkdir(parents=True)
    (folder / "output").mkdir()
    (folder / "input/config/resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": hosts}))
    return folder


def plug(world: World) -> None:
    """Put training into a fresh world."""
    world.extra["training"] = Training()
    world.handlers["sagemaker", "CreateTrainingJob"] = create
    world.handlers["sagemaker", "DescribeTrainingJob"] = describe
    world.handlers["sagemaker", "StopTrainingJob"] = stop


def of(world: World) -> Training:
    """The world's training."""
    found: Training = world.extra["training"]
    return found


def create(world: World, request: Request) -> Answer:
    asked = request.json()
    name = asked["TrainingJobName"]
    if name in of(world).jobs:
        return Answer(f"Training job names must be unique within an AWS account and region, but {name} exists.", 400, code="ResourceInUse")
    job = of(world).jobs[name] = TrainingJob(world, request.region, asked)
    threading.Thread(target=job.live, daemon=True).start()
    return Answer({"TrainingJobArn": f"arn:aws:sagemaker:{request.region}:{world.account}:training-job/{name}"})


def describe(world: World, request: Request) -> Answer:
    job = of(world).jobs.get(request.json()["TrainingJobName"])
    return Answer("Requested resource not found.", 400, code="ValidationException") if job is None else Answer(job.describe())


def stop(world: World, request: Request) -> Answer:
    job = of(world).jobs.get(request.json()["TrainingJobName"])
    if job is None or job.ended:
        return Answer("The training job cannot be stopped.", 400, code="ValidationException")
    job.stop()
    return Answer({})
