"""What an activity knows of a run: its definition with parameters filled in, and what its steps have left so far."""

import json
from collections import OrderedDict
from collections.abc import Mapping

from pydantic import JsonValue

from factory_infra.errors import Conflict, LineshaftError
from factory_infra.factory import Factory
from factory_infra.paas.training.pipelines.models import PipelineRun, PipelineVersion, RunStep
from factory_infra.paas.training.pipelines.reading import Definition
from factory_infra.paas.training.pipelines.spec import RESULT, FieldRef, PipelineSpec, Step, field_of, fields_read
from factory_infra.paas.training.pipelines.work import dug
from workflows.messages import JsonObject

REMEMBERED_MAX = 200


class RunReader:
    """Reads runs. A run's definition never changes, so the last ones are remembered."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._runs: OrderedDict[str, PipelineRun] = OrderedDict()
        self._known: OrderedDict[str, tuple[PipelineVersion, Definition]] = OrderedDict()

    async def run(self, run_id: str) -> PipelineRun:
        """A run as it was asked for: whose it is, its version, its parameters. Where it stands may be another by now."""
        if run_id in self._runs:
            self._runs.move_to_end(run_id)
            return self._runs[run_id]
        found = self._runs[run_id] = await self._factory.pipeline_runs.get(run_id, None)
        if len(self._runs) > REMEMBERED_MAX:
            self._runs.popitem(last=False)
        return found

    async def definition(self, run: PipelineRun) -> tuple[PipelineVersion, Definition]:
        """The version of a run, and its definition with the run's parameters. Raises InvalidInput with file and line."""
        if run.id in self._known:
            self._known.move_to_end(run.id)
            return self._known[run.id]
        version = await self._factory.pipelines.get(run.tenant, run.pipeline, run.version)
        made = version, self._factory.pipelines.defined(version, {**run.parameters})
        self._known[run.id] = made
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return made

    async def spec(self, run: PipelineRun) -> PipelineSpec:
        """The whole pipeline of a run."""
        return (await self.definition(run))[1].spec

    async def fields(self, run: PipelineRun, step: Step, rows: Mapping[str, RunStep]) -> dict[str, JsonValue]:
        """The values of a step's references, by the path within the step. Raises Conflict `output_unknown`."""
        return {path: await self.value(run, ref, rows) for path, ref in fields_read(step)}

    async def value(self, run: PipelineRun, ref: FieldRef, rows: Mapping[str, RunStep]) -> JsonValue:
        """What a reference comes to. Raises Conflict `output_unknown`."""
        row = rows[ref.step]
        found: JsonValue = {**row.result}
        if ref.file != RESULT:
            found = await self._document(run, row, ref.file)
        try:
            return dug(found, ref.field)
        except KeyError as error:
            known = ", ".join(found) if isinstance(found, dict) else "no fields"
            raise Conflict(
                f"{ref.file} of step '{ref.step}' has no '{ref.field}'; it has: {known[:300]}.",
                remedy="Have the step leave it, or refer to another field.",
                code="output_unknown",
            ) from error

    async def _document(self, run: PipelineRun, row: RunStep, file: str) -> JsonValue:
        text = (await self._factory.pipeline_store.get(run.tenant, row.outputs.get(file, ""))).decode()
        try:
            found: JsonValue = json.loads(text)
        except ValueError as error:
            reason = f"{file} of step '{row.step}' is no JSON."
            raise Conflict(reason, remedy="Have the step leave JSON, or refer to no field of it.", code="output_unknown") from error
        return found

    async def arguments(self, run: PipelineRun, raw: Mapping[str, JsonValue], rows: Mapping[str, RunStep]) -> JsonObject:
        """A tool's arguments with references filled in."""
        filled: JsonObject = {}
        for name, value in raw.items():
            ref = field_of(value)
            filled[name] = value if ref is None else await self.value(run, ref, rows)
        return filled

    async def placed(self, run: PipelineRun, step: str, error: LineshaftError) -> str:
        """A refusal's reason with the file and line of the step that it is about."""
        version, _ = await self.definition(run)
        return f"{version.file}, line {version.lines.get(step, 1)}, step '{step}': {error.reason}"
