"""Tools over endpoints: the gate is strict, and what is verified is what the factory says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from factory_infra.errors import NotFound, PostconditionFailed
from factory_infra.paas.catalog.models import Filters, Viewer
from factory_infra.paas.deployments.models import Endpoint, EndpointState, SmokeReport
from factory_infra.paas.registry.models import ModelVersion
from tools import deployments
from tools.deployments import DeployArguments, EndpointArguments, GateArguments
from tools.spec import ToolContext

Answering = Callable[..., object]


def version(accuracy: float | None) -> ModelVersion:
    metrics = {} if accuracy is None else {"accuracy": accuracy}
    return ModelVersion(
        tenant="vision",
        model_name="digits",
        version=3,
        run_id="r",
        run_url="",
        dataset="digits",
        dataset_digest="d",
        algorithm="a",
        metrics=metrics,
        created_at=datetime.now(UTC),
    )


def endpoint(number: int = 3, state: EndpointState = EndpointState.LIVE) -> Endpoint:
    return Endpoint(
        tenant="vision", name="reader", model_name="digits", version=number, state=state, url="http://x", updated_at=datetime.now(UTC)
    )


def answering(value: object) -> Answering:
    """A method that answers so, whatever it is asked."""

    async def method(*_: object) -> object:
        return value

    return method


class TestGate:
    @pytest.mark.parametrize(
        ("accuracy", "threshold", "passed"), [(0.96, 0.95, True), (0.95, 0.95, False), (0.9499, 0.95, False), (1.0, 1.0, False)]
    )
    async def test_passes_only_above(
        self, detached: ToolContext, monkeypatch: pytest.MonkeyPatch, accuracy: float, threshold: float, passed: bool
    ) -> None:
        monkeypatch.setattr(detached.factory.registry, "get", answering(version(accuracy)))
        outcome = await deployments.gate(detached, GateArguments(model_name="digits", version=3, threshold=threshold))
        assert (outcome.passed, outcome.value, outcome.threshold) == (passed, accuracy, threshold)

    async def test_a_version_that_was_not_measured_does_not_pass(self, detached: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(detached.factory.registry, "get", answering(version(None)))
        with pytest.raises(NotFound, match="accuracy"):
            await deployments.gate(detached, GateArguments(model_name="digits", version=3, threshold=0.1))


class TestVerify:
    @pytest.mark.parametrize("found", [endpoint(2), endpoint(3, EndpointState.RETIRED)])
    async def test_another_version_or_a_retired_endpoint_is_noticed(
        self, detached: ToolContext, monkeypatch: pytest.MonkeyPatch, found: Endpoint
    ) -> None:
        monkeypatch.setattr(detached.factory.deployments, "get", answering(found))
        told = deployments.line(endpoint(3))
        arguments = DeployArguments(endpoint="reader", model_name="digits", version=3)
        with pytest.raises(PostconditionFailed):
            await deployments.verify_deploy(detached, arguments, told)
        with pytest.raises(PostconditionFailed):
            await deployments.verify_rollback(detached, EndpointArguments(endpoint="reader"), told)

    async def test_the_version_that_was_told_passes(self, detached: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(detached.factory.deployments, "get", answering(endpoint(3)))
        told = deployments.line(endpoint(3))
        await deployments.verify_deploy(detached, DeployArguments(endpoint="reader", model_name="digits", version=3), told)
        await deployments.verify_rollback(detached, EndpointArguments(endpoint="reader"), told)

    async def test_an_endpoint_that_still_is_live_was_not_retired(self, detached: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(detached.factory.deployments, "list", answering([endpoint()]))
        with pytest.raises(PostconditionFailed):
            await deployments.verify_retire(
                detached, EndpointArguments(endpoint="reader"), deployments.Retired(endpoint="reader", state="retired")
            )

    @pytest.mark.parametrize(("accuracy", "agrees", "good"), [(0.97, True, True), (0.97, False, False), (0.3, True, False)])
    async def test_a_smoke_test_must_agree_and_beat_chance(self, detached: ToolContext, accuracy: float, agrees: bool, good: bool) -> None:
        report = SmokeReport(rows=90, accuracy=accuracy, agrees_with_training=agrees, seconds=0.1)
        checked = deployments.verify_smoke(detached, EndpointArguments(endpoint="reader"), report)
        if good:
            await checked
        else:
            with pytest.raises(PostconditionFailed):
                await checked


class TestRollback:
    async def test_without_an_earlier_version_is_refused_before_anything_is_done(
        self, detached: ToolContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(detached.factory.deployments, "get", answering(endpoint()))
        foreseen = await deployments.dry_run_rollback(detached, {"endpoint": "reader"})
        assert (foreseen.feasible, foreseen.code) == (False, "conflict")

    @pytest.mark.stack
    async def test_of_an_absent_endpoint_is_refused(self, context: ToolContext) -> None:
        foreseen = await deployments.dry_run_rollback(context, {"endpoint": "nowhere"})
        assert (foreseen.feasible, foreseen.code) == (False, "endpoint_unknown")

    @pytest.mark.stack
    async def test_undo_of_a_first_deployment_takes_it_out_of_the_catalog(
        self, context: ToolContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await deployments.list_in_catalog(context, endpoint())
        assert [each.name for each in await context.factory.catalog.list(Viewer.of("vision"), Filters(kind="endpoint"))] == ["reader"]
        monkeypatch.setattr(context.factory.deployments, "rollback", answering(None))
        arguments = DeployArguments(endpoint="reader", model_name="digits", version=3)
        told = await deployments.undo_deploy(context, arguments, deployments.line(endpoint()))
        assert "retired" in told
        assert await context.factory.catalog.list(Viewer.of("vision"), Filters(kind="endpoint")) == []

    @pytest.mark.stack
    async def test_a_catalog_entry_is_of_the_team_that_deployed(self, context: ToolContext) -> None:
        await deployments.list_in_catalog(replace(context, tenant="language"), endpoint())
        assert await context.factory.catalog.list(Viewer.of("vision"), Filters(kind="endpoint")) == []
