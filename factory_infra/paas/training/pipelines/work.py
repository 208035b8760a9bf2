"""From a step to the job that does it, and to the key that it is cached by."""

import csv
import hashlib
import io
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.iaas.jobs.models import JobLimits, JobSpec
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from factory_infra.paas.training.models import TrainingSpec
from factory_infra.paas.training.pipelines.spec import (
    RESULT,
    EvaluateStep,
    JobStep,
    RunStep,
    Step,
    TrainStep,
    ValidateStep,
    files_read,
    outputs_of,
)
from factory_infra.paas.training.spec import DATA_FILE, PROGRAM, SET_PREFIX, SPEC_FILE
from factory_infra.records.audit import digest_of

PROGRAMS = Path(__file__).with_name("programs")
TRAINING = Path(__file__).parents[1] / "programs"
REFUSAL = "refusal.json"
"""What a program may leave that refuses its input: `code`, `reason` and `remedy`, told in place of its exit code."""
PYTHON = "python"
RECIPE = "1"
"""Part of every key: another number, and nothing that was kept before is used again."""
TRAINED_BY = ("numpy", "scikit-learn", "skl2onnx", "onnxruntime")
ROWS_CSV = "rows.csv"


class Whose(Protocol):
    """The run that a step is of."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    @property
    def tenant(self) -> str:
        """The team's name."""
        ...


@dataclass(frozen=True)
class Work:
    """What a job of a step does: the program, the texts beside it, and what it leaves."""

    argv: list[str]
    program: str
    """A digest of everything that the program is."""
    texts: dict[str, str] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    """File in the job's folder to STEP/FILE."""
    outputs: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


def work_of(step: Step, fields: Mapping[str, JsonValue]) -> Work:
    """Say what a step's job does.

    Args:
        step: one that is a job.
        fields: the values of its references, by the path within the step.
    """
    if isinstance(step, RunStep):
        return Work(
            argv=[*step.argv],
            program=digest_of({"argv": [*step.argv], "files": {**step.files}, "nodes": step.nodes}),
            texts=dict(step.files),
            reads=dict(step.inputs),
            outputs=step.outputs,
        )
    if isinstance(step, ValidateStep):
        rules = step.model_dump(mode="json", include={"columns", "rows_min", "rows_max", "only"}, by_alias=True)
        return ours("validate", step.rows, rules, ())
    if isinstance(step, EvaluateStep):
        return ours("evaluate", step.rows, {"truth": step.truth, "predicted": step.predicted}, outputs_of(step))
    if isinstance(step, TrainStep):
        return training(step, fields)
    raise InvalidInput(f"Step {step.id} is no job.", remedy="This is a fault of ours: report it.")


def ours(name: str, rows: str, rules: dict[str, JsonValue], outputs: tuple[str, ...]) -> Work:
    """A program of ours that goes with the job as a text: any pool with a Python runs it."""
    text = source(PROGRAMS / f"{name}.py")
    texts = {f"{name}.py": text, "rules.json": json.dumps(rules, sort_keys=True)}
    return Work([sys.executable, f"{name}.py"], digest_of([text, rules]), texts, {ROWS_CSV: rows}, outputs)


def training(step: TrainStep, fields: Mapping[str, JsonValue]) -> Work:
    """The training program of this tree; what it is made of counts."""
    dataset = fields.get("dataset", step.dataset)
    asked: dict[str, JsonValue] = {
        "dataset": dataset if isinstance(dataset, str) else None,
        "label": step.label,
        "algorithm": step.algorithm,
        "model_name": step.model_name,
        "seed": step.seed,
    }
    parts: list[JsonValue] = [source(TRAINING / f"{name}.py") for name in ("tabular", "candidates", "data", "export")]
    packages: list[JsonValue] = [version(name) for name in TRAINED_BY]
    reads = {ROWS_CSV: step.rows} if step.rows is not None else {}
    return Work(python_argv(PROGRAM), digest_of([asked, parts, packages]), {}, reads, (), python_environment())


@cache
def source(path: Path) -> str:
    """The text of a program of ours, as it was when this process began."""
    return path.read_text(encoding="utf-8")


def key_of(step: JobStep, work: Work, inputs: Mapping[str, str], pool_kind: str) -> str:
    """The key that a step is cached by: its program, what it reads, its parameters and its environment, and nothing else.

    Where it runs does not count beyond the kind of pool and the image; how long it may take does not either.
    """
    return digest_of(
        {
            "recipe": RECIPE,
            "program": work.program,
            "inputs": {**inputs},
            "outputs": [*work.outputs],
            "variables": {**step.environment},
            "environment": {"pool": pool_kind, "image": step.image, PYTHON: platform.python_version(), "machine": platform.machine()},
        }
    )


@dataclass(frozen=True)
class Place:
    """The lease that a job runs on."""

    lease_id: str
    pool: str
    slot_kind: str
    slots: list[int]
    devices: list[str]


def job_id(run_id: str, step: str, attempt: int) -> str:
    """The id of one attempt's job: the same however often it is asked for."""
    return "job-" + hashlib.sha256(f"{run_id}/{step}/{attempt}".encode()).hexdigest()[:16]


def job_of(whose: Whose, step: JobStep, work: Work, texts: Mapping[str, str], place: Place) -> JobSpec:
    """The job of a step on its lease, with what it reads beside it; its id is set by the caller, with the limits of the installation."""
    named = {"LINESHAFT_PIPELINE_RUN": whose.id, "LINESHAFT_PIPELINE_STEP": step.id}
    return JobSpec(
        id="",
        tenant=whose.tenant,
        name=(step.summary or f"{step.id} of {whose.id}")[:120],
        argv=list(work.argv),
        environment={**step.environment, **work.variables, **named},
        inputs={**work.texts, **texts},
        slot_kind=place.slot_kind,
        slots=list(place.slots),
        devices=list(place.devices),
        limits=JobLimits(memory_gib=step.memory_gib, seconds=float(step.seconds)),
        pool=place.pool,
        lease_id=place.lease_id,
        image=step.image,
        nodes=step.nodes if isinstance(step, RunStep) else 1,
    )


def training_texts(step: TrainStep, tenant: str, key: str, rows: tuple[str, str] | None, fields: Mapping[str, JsonValue]) -> dict[str, str]:
    """What the training program reads: its order, and the rows where they come from a step.

    Args:
        step: what is trained.
        tenant: the team.
        key: of the run in the tracking server: the same key is the same run.
        rows: the CSV text with its digest, None where a dataset is named.
        fields: values of references.
    """
    dataset = fields.get("dataset", step.dataset)
    named = f"{SET_PREFIX}{rows[1][:32]}" if rows is not None else str(dataset)
    spec = TrainingSpec(tenant=tenant, dataset=named, model_name=step.model_name, algorithm=step.algorithm, seed=step.seed, run_key=key)
    texts = {SPEC_FILE: spec.model_dump_json()}
    if rows is not None:
        texts[DATA_FILE] = training_rows(step, *rows)
    return texts


def training_rows(step: TrainStep, text: str, digest: str) -> str:
    """Rows of numbers with labels, as the training program reads them. Raises InvalidInput that names the line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    if step.label not in header:
        raise _unfit(1, f"there is no column {step.label!r}; there are: {', '.join(header)[:300]}")
    at = header.index(step.label)
    rows: list[list[float]] = []
    labels: list[str] = []
    for cells in reader:
        if not cells or "" in cells:  # a gap: the classifiers here read none
            continue
        if len(cells) != len(header):
            raise _unfit(reader.line_num, f"it has {len(cells)} fields, the header has {len(header)}")
        try:
            rows.append([float(cell) for number, cell in enumerate(cells) if number != at])
        except ValueError as error:
            raise _unfit(reader.line_num, "it holds words beside its label, which the classifiers here do not read") from error
        labels.append(cells[at])
    if not rows:
        raise _unfit(1, "there is no row without a gap")
    return json.dumps({"digest": digest, "rows": rows, "labels": labels})


def _unfit(line: int, reason: str) -> InvalidInput:
    return InvalidInput(
        f"{ROWS_CSV}, line {line}: {reason}.", remedy="Have an earlier step leave numbers and one column of labels.", code="data_invalid"
    )


def reads_of(step: Step) -> dict[str, str]:
    """File in the job's folder to STEP/FILE, for any step that reads files."""
    return {(path.partition(".")[2] or ROWS_CSV): wanted for path, wanted in files_read(step).items()}


def dug(found: JsonValue, path: str) -> JsonValue:
    """The value of a dotted path. Raises KeyError."""
    for part in path.split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            raise KeyError(part)
    return found


def leaves(step: Step) -> tuple[str, ...]:
    """Names by which other steps may read from one."""
    return (*outputs_of(step), RESULT)
