"""Endpoints' servers as endpoints of SageMaker: one for each server, so that a roll-out is the same there as anywhere."""

import asyncio
import io
import json
import tarfile
import time
from typing import cast

from pydantic import ValidationError

from factory_infra.errors import Conflict, EffectFailed, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.foundation.pools.aws import Answer as AwsAnswer
from factory_infra.foundation.pools.aws import AwsAccess, tags
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.providers.aws_bucket import aws_code
from factory_infra.iaas.jobs.providers.aws_engine import pool_lacks, role_of
from factory_infra.iaas.jobs.providers.sagemaker import training_type
from factory_infra.iaas.kubernetes.names import digest
from factory_infra.paas.deployments.providers.kinds import CHECK_ROWS, ROWS_PREFIX, RowsKind, files_of
from factory_infra.paas.deployments.providers.wire import ORDER_FILE, Answer, Complaint, Holdout, Order, Rows
from factory_infra.paas.deployments.serving import Keep, Server
from factory_infra.paas.registry.interface import Registry
from factory_infra.paas.registry.models import ModelVersion
from factory_infra.settings import Settings

HEALTHY_SECONDS = 1200.0
"""SageMaker launches a machine and pulls the image: some minutes."""
POLL_SECONDS = 5.0
ASK_SECONDS = 10.0
VARIANT = "all"
SERVER_TAG = "lineshaft:server"
FOLDER = "lineshaft/served"
GONE = "ValidationException"
"""SageMaker's code for what is not there, and for what is there already."""


class SageMakerServing:
    """Servers in a pool's account. Splitting, gates and roll-back are ours: SageMaker's own variants are not used.

    Args:
        pool: the pool's entry: `bucket`, `job_image`, a role and the first of `instance_types` are needed.
        settings: of the installation.
        registry: knows the versions and their files.
    """

    def __init__(self, pool: AwsPool, settings: Settings, registry: Registry, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._pool = pool
        self._access = AwsAccess(pool, settings)
        self._folder = settings.home / "endpoints"
        self._rows = RowsKind(registry, self._folder)
        self._poll_seconds = poll_seconds

    async def close(self) -> None:
        """Give connections back."""
        await self._access.close()

    def prefix(self, version: ModelVersion) -> str:
        """Rows only."""
        if version.chats:
            raise InvalidInput(
                f"{version.model_name} is a language model, which is not deployed to SageMaker this way.",
                remedy="Name a SageMaker endpoint that chats as a backend of the gateway.",
                code="endpoint_chats",
            )
        return ROWS_PREFIX

    async def start(self, endpoint: str, version: ModelVersion, job_id: str) -> Server:
        """Make model, configuration and endpoint unless they are there, and wait until it answers held-out rows as training did."""
        self.prefix(version)
        for field in ("bucket", "job_image", "instance_types"):
            if not getattr(self._pool, field):
                raise pool_lacks(self._pool.name, field)
        holdout = await self._rows.holdout(version)
        name = name_of(version.tenant, job_id)
        try:
            await self._make(name, version, job_id)
            await self._in_service(name)
            await self._proved(name, holdout)
        except (LineshaftError, asyncio.CancelledError):
            await asyncio.shield(self._remove(name))
            raise
        return Server(job_id=job_id, port=0)

    async def ask(self, tenant: str, server: Server, rows: list[list[float]]) -> Answer:
        """Invoke the endpoint."""
        return await self._ask(name_of(tenant, server.job_id), rows)

    async def answers(self, tenant: str, server: Server) -> bool:
        """Whether SageMaker calls it in service."""
        try:
            return await self._status(name_of(tenant, server.job_id)) == "InService"
        except LineshaftError:
            return False

    async def stop_others(self, tenant: str, endpoint: str, keep: Keep) -> None:
        """Delete every server of an endpoint but some."""
        for name, job_id in (await self._servers(stem_of(tenant, endpoint))).items():
            if not keep.spares(job_id):
                await self._remove(name)

    async def _make(self, name: str, version: ModelVersion, job_id: str) -> None:
        key = f"{FOLDER}/{version.tenant}/{version.model_name}/{version.version}/model.tar.gz"
        await self._access.change(
            "s3", "put_object", Bucket=self._pool.bucket, Key=key, Body=await asyncio.to_thread(self._packed, version)
        )
        marks = tags({"lineshaft:tenant": version.tenant, SERVER_TAG: job_id, "lineshaft:installation": self._pool.installation})
        container = {"Image": self._pool.job_image, "ModelDataUrl": f"s3://{self._pool.bucket}/{key}"}
        variant = {"VariantName": VARIANT, "ModelName": name, "InitialInstanceCount": 1}
        variant["InstanceType"] = training_type(self._pool.instance_types[0])
        role = await role_of(self._access, version.tenant)
        await self._once("create_model", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role, Tags=marks)
        await self._once("create_endpoint_config", EndpointConfigName=name, ProductionVariants=[variant], Tags=marks)
        await self._once("create_endpoint", EndpointName=name, EndpointConfigName=name, Tags=marks)

    async def _once(self, operation: str, **arguments: object) -> None:
        """Make something unless it is there."""
        try:
            await self._access.change("sagemaker", operation, **arguments)
        except (Conflict, InvalidInput, EffectFailed) as error:
            if aws_code(error) != GONE or "already exist" not in error.reason:
                raise

    def _packed(self, version: ModelVersion) -> bytes:
        """The version's files as SageMaker unpacks them."""
        folder, packed = files_of(self._folder, version), io.BytesIO()
        order = Order(model_path="model.onnx", holdout_path="holdout.json", model_name=version.model_name, version=version.version)
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for file in ("model.onnx", "holdout.json"):
                archive.add(folder / file, arcname=file)
            data = order.model_dump_json().encode()
            told = tarfile.TarInfo(ORDER_FILE)
            told.size = len(data)
            archive.addfile(told, io.BytesIO(data))
        return packed.getvalue()

    async def _in_service(self, name: str) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (status := await self._status(name)) != "InService":
            if status == "Failed" or time.monotonic() > deadline:
                why = (await self._described(name)).get("FailureReason") or f"it is {status}"
                raise unhealthy(name, str(why))
            await asyncio.sleep(self._poll_seconds)

    async def _proved(self, name: str, holdout: Holdout) -> None:
        if (await self._ask(name, holdout.rows[:CHECK_ROWS])).labels != holdout.predictions[:CHECK_ROWS]:
            raise unhealthy(name, "it answers held-out rows otherwise than training did")

    async def _ask(self, name: str, rows: list[list[float]]) -> Answer:
        client = await self._access.client("sagemaker-runtime", attempts_max=1, read_seconds=ASK_SECONDS)
        body = Rows(rows=rows).model_dump_json()
        try:
            answer = await self._access.call(client.invoke_endpoint, EndpointName=name, ContentType="application/json", Body=body)
            data = await asyncio.to_thread(cast(io.BytesIO, answer["Body"]).read)
            return Answer.model_validate_json(data)
        except LineshaftError as error:
            raise complaint_of(error) or Unavailable(
                "The endpoint's server does not answer.", remedy="Try again in a moment.", code="endpoint_down"
            ) from error
        except ValidationError as error:
            raise Unavailable("The endpoint's server answers something else.", code="endpoint_down") from error

    async def _status(self, name: str) -> str:
        return str((await self._described(name)).get("EndpointStatus", ""))

    async def _described(self, name: str) -> AwsAnswer:
        return await self._access.read("sagemaker", "describe_endpoint", EndpointName=name)

    async def _servers(self, stem: str) -> dict[str, str]:
        """Names of SageMaker's endpoints that begin so, each with our id of its server."""
        found = await self._access.read_all("sagemaker", "list_endpoints", "Endpoints", NameContains=stem)
        servers = {}
        for each in found:
            told = await self._access.read("sagemaker", "list_tags", ResourceArn=each["EndpointArn"])
            marks = cast("list[dict[str, str]]", told.get("Tags") or [])
            servers[str(each["EndpointName"])] = next((mark["Value"] for mark in marks if mark["Key"] == SERVER_TAG), "")
        return servers

    async def _remove(self, name: str) -> None:
        for operation, field in (
            ("delete_endpoint", "EndpointName"),
            ("delete_endpoint_config", "EndpointConfigName"),
            ("delete_model", "ModelName"),
        ):
            try:
                await self._access.change("sagemaker", operation, **{field: name})
            except NotFound:
                continue
            except LineshaftError as error:
                if aws_code(error) != GONE:
                    raise


def stem_of(tenant: str, endpoint: str) -> str:
    """How the names of an endpoint's servers begin: SageMaker has 63 characters, and no place for a team."""
    return f"ls-{digest(f'{tenant}/{endpoint}')}-"


def name_of(tenant: str, job_id: str) -> str:
    """A server's name: of its id, in which the endpoint's name stands between the prefix and two more parts."""
    endpoint = job_id.removeprefix(f"{ROWS_PREFIX}-").rsplit("-", 2)[0]
    return stem_of(tenant, endpoint) + digest(job_id)


def complaint_of(error: LineshaftError) -> InvalidInput | None:
    """What the container said of the rows, where SageMaker hands it on as a ModelError."""
    response = getattr(error.__cause__, "response", None)
    if not isinstance(response, dict) or response.get("OriginalStatusCode") not in {413, 422}:
        return None
    try:
        told = Complaint.model_validate(json.loads(str(response.get("OriginalMessage", ""))))
    except (ValidationError, ValueError):
        return None
    return InvalidInput(told.reason, remedy="Send rows as the model was trained on.", code=told.code)


def unhealthy(name: str, why: str) -> EffectFailed:
    """Say that a server did not come up."""
    return EffectFailed(
        f"The server {name} is not healthy: {why}", remedy=f"Read the log group /aws/sagemaker/Endpoints/{name}.", code="endpoint_unhealthy"
    )
