"""Stored histories replay with the worker's sandbox and converter: what runs today survives the next release.

Where a change is meant to break them: `python -m tests.replay.recording` writes them anew.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.replay.altered import (
    AlteredAccess,
    AlteredDrift,
    AlteredFiring,
    AlteredJob,
    AlteredPipeline,
    AlteredPlan,
    AlteredThread,
    AlteredUndo,
)
from tests.replay.recording import FOLDER, propose
from tests.workflows.line import WORKFLOWS
from workflows import graphs
from workflows.definitions.access import AccessWorkflow
from workflows.definitions.drift import DriftWorkflow
from workflows.definitions.pipeline import PipelineWorkflow
from workflows.definitions.pipeline_firing import PipelineFiringWorkflow
from workflows.sandbox import sandbox

STORED = sorted(FOLDER.glob("*.json"))
ALTERED = {"thread": AlteredThread, "plan": AlteredPlan, "job": AlteredJob, "undo": AlteredUndo, "drift": AlteredDrift}
ALTERED |= {"pipeline": AlteredPipeline, "firing": AlteredFiring, "access": AlteredAccess}


def read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


def kind(path: Path) -> str:
    return path.stem.partition("-")[0]


async def replay(path: Path, *workflows: type) -> None:
    graphs.register("dispatch", propose)
    replayer = Replayer(workflows=workflows, workflow_runner=sandbox(), data_converter=pydantic_data_converter)
    await replayer.replay_workflow(read(path))


def test_every_workflow_has_a_history() -> None:
    assert {kind(path) for path in STORED} == set(ALTERED)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
async def test_a_stored_history_replays(path: Path) -> None:
    await replay(path, *WORKFLOWS, DriftWorkflow, PipelineWorkflow, PipelineFiringWorkflow, AccessWorkflow)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
async def test_control_another_order_of_commands_does_not_replay(path: Path) -> None:
    with pytest.raises(NondeterminismError):
        await replay(path, ALTERED[kind(path)])


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_history_is_small_and_names_no_machine(path: Path) -> None:
    assert path.stat().st_size < 100_000
    assert "@" not in path.read_text()
