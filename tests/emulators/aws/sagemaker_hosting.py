"""SageMaker hosting: endpoints with a container each, as processes of this machine, and their invocations."""

import http.client
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import boto3

from tests.emulators.aws.containers import ROOT
from tests.emulators.aws.world import Answer, Handler, Json, Request, World

START_SECONDS = 60.0
LOOK_SECONDS = 0.05
KINDS = {"Model": "ModelName", "EndpointConfig": "EndpointConfigName", "Endpoint": "EndpointName"}


@dataclass
class Hosting:
    """One account's models, configurations and endpoints."""

    made: dict[str, dict[str, Json]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    running: dict[str, "Hosted"] = field(default_factory=dict)
    failing: str = ""
    """A reason with which endpoints fail while they are created."""


class Hosted:
    """One endpoint's container."""

    def __init__(self, world: World, data_url: str) -> None:
        self.status, self.reason = "Creating", ""
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self.port = 0
        threading.Thread(target=self._live, args=(world, data_url), daemon=True).start()

    def _live(self, world: World, data_url: str) -> None:
        folder = Path(self._folder.name)
        bucket, _, key = data_url.removeprefix("s3://").partition("/")
        client = boto3.client("s3", endpoint_url=str(world.extra["endpoint"]), region_name="us-east-1")
        data = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder / "model", filter="data")
        words = ["-m", "factory_infra.paas.deployments.providers.serve_sagemaker", "serve", "--model-dir", str(folder / "model")]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *words, "--host", "127.0.0.1", "--port", "0"]
        self._process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._up(folder / "endpoint.json"):
            if time.monotonic() > deadline or self._process.poll() is not None or self._ended:
                self.status, self.reason = "Failed", "The container did not pass the ping health check."
                return
            time.sleep(LOOK_SECONDS)
        self.status = "InService"

    def _up(self, address: Path) -> bool:
        if not address.exists():
            return False
        self.port = int(re.findall(r"\d+", address.read_text())[0])
        return self.asked("GET", "/ping", b"")[0] == 200

    def asked(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Ask the container."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def end(self) -> None:
        """End it."""
        self._ended = True
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        self._folder.cleanup()


def plug(world: World) -> None:
    """Put hosting into a fresh world."""
    world.extra["hosting"] = Hosting()
    for kind in KINDS:
        world.handlers["sagemaker", f"Create{kind}"] = partial(create, kind=kind)
        world.handlers["sagemaker", f"Delete{kind}"] = partial(delete, kind=kind)
    world.handlers["sagemaker", "DescribeEndpoint"] = describe
    world.handlers["sagemaker", "ListEndpoints"] = listed
    others = world.handlers.get(("sagemaker", "ListTags"))
    world.handlers["sagemaker", "ListTags"] = partial(marks, others=others)


def of(world: World) -> Hosting:
    """The world's hosting."""
    found: Hosting = world.extra["hosting"]
    return found


def create(world: World, request: Request, kind: str) -> Answer:
    """Create a model, a configuration or an endpoint."""
    asked, hosting = request.json(), of(world)
    name = asked[KINDS[kind]]
    if name in hosting.made[kind]:
        return Answer(f"Cannot create already existing {kind.lower()} {name}.", 400, code="ValidationException")
    arn = f"arn:aws:sagemaker:{request.region}:{world.account}:{kind.lower()}/{name}"
    if kind == "Endpoint":
        config = hosting.made["EndpointConfig"].get(asked["EndpointConfigName"])
        if config is None:
            return Answer("Could not find endpoint configuration.", 400, code="ValidationException")
        model = hosting.made["Model"][config["ProductionVariants"][0]["ModelName"]]
        hosting.running[name] = Hosted(world, model["PrimaryContainer"]["ModelDataUrl"])
        if hosting.failing:
            hosting.running[name].status, hosting.running[name].reason = "Failed", hosting.failing
        world.handlers["sagemaker", f"POST /endpoints/{name}/invocations"] = partial(invoke, name=name)
    hosting.made[kind][name] = asked | {"arn": arn}
    return Answer({f"{kind}Arn": arn})


def delete(world: World, request: Request, kind: str) -> Answer:
    """Delete one of them."""
    hosting, name = of(world), request.json()[KINDS[kind]]
    if hosting.made[kind].pop(name, None) is None:
        return Answer(f"Could not find {kind.lower()} {name}.", 400, code="ValidationException")
    if kind == "Endpoint":
        threading.Thread(target=hosting.running.pop(name).end, daemon=True).start()
    return Answer({})


def describe(world: World, request: Request) -> Answer:
    """DescribeEndpoint."""
    name = request.json()["EndpointName"]
    running, made = of(world).running.get(name), of(world).made["Endpoint"].get(name)
    if running is None or made is None:
        return Answer(f'Could not find endpoint "{name}".', 400, code="ValidationException")
    told = {"EndpointName": name, "EndpointArn": made["arn"], "EndpointStatus": running.status}
    return Answer(told | ({"FailureReason": running.reason} if running.reason else {}))


def listed(world: World, request: Request) -> Answer:
    """ListEndpoints, by a part of their names."""
    part = request.json().get("NameContains", "")
    found = [(name, made) for name, made in of(world).made["Endpoint"].items() if part in name]
    told = [{"EndpointName": name, "EndpointArn": made["arn"], "EndpointStatus": of(world).running[name].status} for name, made in found]
    return Answer({"Endpoints": [each | {"CreationTime": 0, "LastModifiedTime": 0} for each in told]})


def marks(world: World, request: Request, others: Handler | None) -> Answer | object:
    """ListTags, of what is hosted here; of the rest whoever told it before."""
    arn = request.json()["ResourceArn"]
    found = [made for kind in of(world).made.values() for made in kind.values() if made["arn"] == arn]
    if not found and others is not None:
        return others(world, request)
    return Answer({"Tags": found[0].get("Tags", []) if found else []})


def invoke(world: World, request: Request, name: str) -> Answer:
    """InvokeEndpoint of the runtime."""
    running = of(world).running.get(name)
    if running is None or running.status != "InService":
        return Answer(f"Endpoint {name} of account {world.account} not found.", 400, code="ValidationError")
    status, body = running.asked("POST", "/invocations", request.body)
    if status == 200:
        return Answer(body, headers={"Content-Type": "application/json"})
    told = {"Message": f"Received client error ({status})", "OriginalStatusCode": status, "OriginalMessage": body.decode()}
    return Answer(told, 424, headers={"x-amzn-ErrorType": "ModelError"})
