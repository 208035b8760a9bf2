"""AWS Batch: queues and definitions in a table, jobs as processes of this machine with their states in time."""

import fnmatch
import json
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.aws.containers import Container, milliseconds
from tests.emulators.aws.world import Answer, Json, Request, World

GROUP = "/aws/batch/job"
FINAL = {"SUCCEEDED", "FAILED"}
LOOK_SECONDS = 0.02
HOST_LOST = "Host EC2 (instance i-0emulated0000000) terminated."
EXITED = "Essential container in task exited"


@dataclass
class Batch:
    """One account's Batch."""

    queues: dict[str, str] = field(default_factory=dict)
    """Name → ENABLED or DISABLED."""
    definitions: dict[str, list[Json]] = field(default_factory=dict)
    jobs: dict[str, "Job"] = field(default_factory=dict)
    holding: str = ""
    """While it is set, jobs stay RUNNABLE with this reason."""
    forgotten: set[str] = field(default_factory=set)


@dataclass
class Job:
    """One job, or one task of an array."""

    world: World
    region: str
    id: str
    asked: Json
    definition: Json
    index: int | None = None
    status: str = "SUBMITTED"
    reason: str = ""
    created: int = field(default_factory=milliseconds)
    started: int = 0
    stopped: int = 0
    attempts: list[Json] = field(default_factory=list)
    children: list["Job"] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    terminated: str = ""
    interrupted: bool = False
    changed: threading.Event = field(default_factory=threading.Event)

    @property
    def batch(self) -> Batch:
        """The account's Batch."""
        found: Batch = self.world.extra["batch"]
        return found

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL

    @property
    def nodes(self) -> int:
        """How many containers it has at a time."""
        return int(self.asked.get("nodeOverrides", {}).get("numNodes") or self.definition.get("nodeProperties", {}).get("numNodes") or 1)

    def live(self) -> None:
        """Its whole life, in a thread of its own."""
        if self._wait_for_others() and self._wait_for_place():
            while not self._attempt():
                self.status, self.interrupted = "RUNNABLE", False
                if not self._wait_for_place():
                    return

    def finish(self, status: str, reason: str) -> None:
        """End it."""
        self.status, self.reason, self.stopped = status, reason, milliseconds()

    def _wait_for_others(self) -> bool:
        self.status = "PENDING"
        others = [self.batch.jobs[each["jobId"]] for each in self.asked.get("dependsOn") or []]
        while True:
            if self.terminated:
                self.finish("FAILED", self.terminated)
                return False
            if any(other.state() == "FAILED" for other in others):
                self.finish("FAILED", "Dependent Job failed")
                return False
            if all(other.state() == "SUCCEEDED" for other in others):
                return True
            self.changed.wait(LOOK_SECONDS)

    def _wait_for_place(self) -> bool:
        self.status = "RUNNABLE"
        while self.batch.holding and not self.terminated:
            self.reason = self.batch.holding
            self.changed.wait(LOOK_SECONDS)
        self.reason = ""
        if self.terminated:
            self.finish("FAILED", self.terminated)
            return False
        self.status = "STARTING"
        return True

    def _attempt(self) -> bool:
        """Run the containers once; return whether that was the end."""
        began = milliseconds()
        streams = [f"{self.definition['jobDefinitionName']}/default/{uuid.uuid4().hex}" for _ in range(self.nodes)]
        self.containers = [Container(self.world, self.region, GROUP, stream) for stream in streams]
        for rank, container in enumerate(self.containers):
            container.run(self._environment(rank))
        self.started, self.status = milliseconds(), "RUNNING"
        if self.terminated:
            threading.Thread(target=self._stop_all, daemon=True).start()
        code = self.containers[0].wait()
        for other in self.containers[1:]:
            other.stop(1.0)
            other.wait()
        reason = HOST_LOST if self.interrupted else EXITED
        parts = [{"logStreamName": stream, "exitCode": code, "reason": ""} for stream in streams]
        self.attempts.append({"startedAt": began, "stoppedAt": milliseconds(), "statusReason": reason, "parts": parts})
        return self._judge(code, reason)

    def _judge(self, code: int, reason: str) -> bool:
        if self.terminated:
            self.finish("FAILED", self.terminated)
        elif code == 0 and not self.interrupted:
            self.finish("SUCCEEDED", EXITED)
        elif self._again(code, reason):
            return False
        else:
            self.finish("FAILED", reason)
        return True

    def _again(self, code: int, reason: str) -> bool:
        strategy = self.asked.get("retryStrategy") or {}
        if len(self.attempts) >= int(strategy.get("attempts", 1)):
            return False
        for rule in strategy.get("evaluateOnExit") or []:
            asked = {"onStatusReason": reason, "onExitCode": str(code), "onReason": ""}
            if all(fnmatch.fnmatch(asked[name], rule[name]) for name in asked if name in rule):
                return bool(rule["action"].upper() == "RETRY")
        return True

    def _environment(self, rank: int) -> dict[str, str]:
        overrides = self.asked.get("containerOverrides") or {}
        for each in self.asked.get("nodeOverrides", {}).get("nodePropertyOverrides", []):
            overrides = each["containerOverrides"]
        own = {"AWS_BATCH_JOB_ID": self.id, "AWS_BATCH_JOB_ATTEMPT": str(len(self.attempts) + 1)}
        if self.index is not None:
            own["AWS_BATCH_JOB_ARRAY_INDEX"] = str(self.index)
        if self.nodes > 1:
            own |= {
                "AWS_BATCH_JOB_ID": f"{self.id}#{rank}",
                "AWS_BATCH_JOB_NODE_INDEX": str(rank),
                "AWS_BATCH_JOB_NUM_NODES": str(self.nodes),
            }
            own |= {"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": "127.0.0.1"} if rank else {}
        return {each["name"]: each["value"] for each in overrides.get("environment", [])} | own

    def terminate(self, reason: str) -> None:
        """End it in whatever state it is."""
        for each in self.children or [self]:
            if not each.final:
                each.terminated = reason
                each.changed.set()
                if each.status == "RUNNING":
                    threading.Thread(target=each._stop_all, daemon=True).start()

    def interrupt(self) -> None:
        """Take its machine away, as a spot interruption does: SIGTERM, and no word of an end."""
        self.interrupted = True
        for container in self.containers:
            threading.Thread(target=container.stop, daemon=True).start()

    def _stop_all(self) -> None:
        for container in self.containers:
            container.stop()

    def state(self) -> str:
        """Its status; an array's from its tasks."""
        if not self.children:
            return self.status
        states = Counter(child.status for child in self.children)
        if sum(states[each] for each in FINAL) < len(self.children):
            return "PENDING"
        return "FAILED" if states["FAILED"] else "SUCCEEDED"

    def summary(self) -> Json:
        """As in ListJobs."""
        told: Json = {"jobId": self.id, "jobName": self.asked["jobName"], "createdAt": self.created, "status": self.state()}
        stopped = max((child.stopped for child in self.children), default=self.stopped)
        told |= {"statusReason": self.reason} if self.reason else {}
        told |= {"startedAt": self.started} if self.started else {}
        return told | ({"stoppedAt": stopped} if self.final or told["status"] in FINAL else {})

    def describe(self, rank: int | None = None) -> Json:
        """As in DescribeJobs."""
        told = self.summary() | {"jobQueue": self.asked["jobQueue"], "tags": self.asked.get("tags", {})}
        if self.children:
            return told | {"arrayProperties": {"statusSummary": dict(Counter(c.status for c in self.children)), "size": len(self.children)}}
        part = rank or 0
        told["attempts"] = [{**each, "container": each["parts"][part]} for each in self.attempts]
        for each in told["attempts"]:
            each.pop("parts")
        if len(self.containers) > part:
            told["container"] = {"logStreamName": self.containers[part].stream}
        if self.attempts and self.final:
            told["container"] = self.attempts[-1]["parts"][part]
        return told if rank is None else told | {"jobId": f"{self.id}#{rank}"}


def plug(world: World) -> None:
    """Put Batch into a fresh world."""
    world.extra["batch"] = Batch()
    handlers = (create_job_queue, update_job_queue, register_job_definition, describe_job_definitions)
    for each in (*handlers, submit_job, describe_jobs, list_jobs, terminate_job):
        world.handlers["batch", "".join(part.capitalize() for part in each.__name__.split("_"))] = each


def of(world: World) -> Batch:
    """The world's Batch."""
    found: Batch = world.extra["batch"]
    return found


def refused(message: str) -> Answer:
    """Its answer to what is wrong."""
    return Answer(message, 400, code="ClientException")


def create_job_queue(world: World, request: Request) -> Answer:
    asked = request.json()
    of(world).queues[asked["jobQueueName"]] = asked.get("state", "ENABLED")
    return Answer({"jobQueueName": asked["jobQueueName"], "jobQueueArn": arn(world, request, "job-queue", asked["jobQueueName"])})


def update_job_queue(world: World, request: Request) -> Answer:
    asked = request.json()
    of(world).queues[asked["jobQueue"]] = asked["state"]
    return Answer({"jobQueueName": asked["jobQueue"], "jobQueueArn": arn(world, request, "job-queue", asked["jobQueue"])})


def register_job_definition(world: World, request: Request) -> Answer:
    asked = request.json()
    revisions = of(world).definitions.setdefault(asked["jobDefinitionName"], [])
    revisions.append({**asked, "revision": len(revisions) + 1, "status": "ACTIVE"})
    name = f"{asked['jobDefinitionName']}:{len(revisions)}"
    answer = {"jobDefinitionName": asked["jobDefinitionName"], "revision": len(revisions)}
    return Answer({**answer, "jobDefinitionArn": arn(world, request, "job-definition", name)})


def describe_job_definitions(world: World, request: Request) -> Answer:
    asked = request.json()
    named = of(world).definitions.get(asked.get("jobDefinitionName", ""), [])
    found = [{**each, "jobDefinitionArn": "arn:aws:batch", "containerOrchestrationType": "ECS"} for each in named]
    return Answer({"jobDefinitions": found})


def submit_job(world: World, request: Request) -> Answer:
    asked, batch = request.json(), of(world)
    queue = batch.queues.get(asked["jobQueue"])
    if queue != "ENABLED":
        return refused(f"JobQueue {asked['jobQueue']} {'not found' if queue is None else 'is not in an ENABLED state'}.")
    definitions = batch.definitions.get(asked["jobDefinition"])
    if not definitions:
        return refused(f"JobDefinition {asked['jobDefinition']} not found.")
    unknown = [each["jobId"] for each in asked.get("dependsOn") or [] if each["jobId"] not in batch.jobs]
    if unknown:
        return refused(f"Job dependency {unknown[0]} does not exist.")
    job = Job(world, request.region, str(uuid.uuid4()), asked, definitions[-1])
    batch.jobs[job.id] = job
    size = int((asked.get("arrayProperties") or {}).get("size", 0))
    if size == 1 or size > 10_000:
        return refused("Array size must be between 2 and 10,000.")
    job.children = [Job(world, request.region, f"{job.id}:{index}", asked, definitions[-1], index) for index in range(size)]
    batch.jobs.update({child.id: child for child in job.children})
    for each in job.children or [job]:
        threading.Thread(target=each.live, daemon=True).start()
    return Answer({"jobName": asked["jobName"], "jobId": job.id, "jobArn": arn(world, request, "job", job.id)})


def describe_jobs(world: World, request: Request) -> Answer:
    batch = of(world)
    found = []
    for asked in request.json()["jobs"]:
        name, _, rank = asked.partition("#")
        if name in batch.jobs and name not in batch.forgotten:
            found.append(batch.jobs[name].describe(int(rank) if rank else None))
    return Answer({"jobs": found})


def list_jobs(world: World, request: Request) -> Answer:
    asked, batch = request.json(), of(world)
    names = next((each["values"] for each in asked.get("filters") or [] if each["name"] == "JOB_NAME"), None)
    age = world.seen_after_seconds * 1000
    found = [
        job.summary()
        for job in batch.jobs.values()
        if job.index is None
        and job.id not in batch.forgotten
        and job.asked["jobQueue"] == asked.get("jobQueue")
        and milliseconds() - job.created >= age
        and (job.asked["jobName"] in names if names is not None else job.state() == asked.get("jobStatus", "RUNNING"))
    ]
    return Answer({"jobSummaryList": found})


def terminate_job(world: World, request: Request) -> Answer:
    asked = request.json()
    job = of(world).jobs.get(asked["jobId"])
    if job is not None:
        job.terminate(asked["reason"])
    return Answer({})


def arn(world: World, request: Request, kind: str, name: str) -> str:
    """A name as AWS writes it."""
    return f"arn:aws:batch:{request.region}:{world.account}:{kind}/{name}"


def dump(world: World) -> str:
    """Everything that ran, for a failing test's message."""
    jobs: list[dict[str, Any]] = [job.describe() for job in of(world).jobs.values()]
    return json.dumps(jobs, indent=1)
