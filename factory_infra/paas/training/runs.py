"""Runs as people compare them: side by side, with what was the same, what differed and what they ran on."""

import builtins
import re
from typing import cast

from pydantic import BaseModel, Field, JsonValue

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.paas.training.tracking import Run, Tracking
from factory_infra.second_wall import bounded

RUN_ID = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
COMPARED_MAX = 20
PAGE_MAX = 500
EXPERIMENTS_MAX = 1000
TENANT_TAG, PLAN_TAG, STUDY_TAG, ENVIRONMENT = "lineshaft.tenant", "lineshaft.plan_id", "lineshaft.study", "lineshaft.env."
PARENT_TAG = "mlflow.parentRunId"
MILLISECONDS = 1000.0


class RunLine(BaseModel):
    """One run."""

    run_id: str
    experiment: str
    name: str
    status: str
    metrics: dict[str, float]
    parameters: dict[str, str]
    tags: dict[str, str]
    environment: dict[str, str] = Field(description="What it ran on: interpreter, packages, machine, commit.")
    study_id: str = ""
    parent_run_id: str = ""
    started_at: float | None = Field(default=None, description="Seconds since 1970.")
    seconds: float | None = None
    url: str = ""


class Compared(BaseModel):
    """One name over several runs, in their order; nothing where a run has it not."""

    name: str
    values: list[float | str | None]
    differs: bool
    best: str | None = Field(default=None, description="Of a metric: the run with the highest value.")


class Comparison(BaseModel):
    """Runs side by side."""

    runs: list[RunLine]
    metrics: list[Compared]
    parameters: list[Compared]
    environment: list[Compared]


class TrainingRuns:
    """Reads a team's runs from the tracking server. Another team's run is not found, whatever the door let through: see `second_wall`."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    async def close(self) -> None:
        """Give the connections back."""
        await self.tracking.close()

    async def list(
        self, tenant: str, *, experiment: str | None = None, study: str | None = None, limit: int = 100, offset: int = 0
    ) -> builtins.list[RunLine]:
        """Return a team's runs, newest first; of one experiment, which is a model's or a study's name, or of one study.

        Raises InvalidInput for a name that none can have, Unavailable.
        """
        for given in (experiment, study):
            if given is not None and not NAME.fullmatch(given):
                raise InvalidInput(
                    f"The name is not valid: {given[:80]!r}.", remedy="Use letters, digits, '.', '_' and '-'.", code="name_invalid"
                )
        names = await self._experiments(tenant, experiment) if bounded(tenant) == tenant else {}
        if not names:
            return []
        condition = f"tags.`{TENANT_TAG}` = '{tenant}'" + (f" AND tags.`{STUDY_TAG}` = '{study}'" if study is not None else "")
        found = await self._search(list_of(names), condition, min(limit, PAGE_MAX) + offset)
        return [self._line(run, names.get(experiment_of(run), ""), record) for run, record in found[offset : offset + limit]]

    async def get(self, tenant: str, run_id: str) -> RunLine:
        """Return one of a team's runs. Raises NotFound `run_unknown`."""
        if RUN_ID.fullmatch(run_id) and bounded(tenant) == tenant:
            record = cast("dict[str, JsonValue]", (await self._run(run_id)) or {})
            run = Run.model_validate(record) if record else None
            if run is not None and run.tags.get(TENANT_TAG) == tenant:
                names = await self._experiments(tenant, None)
                return self._line(run, names.get(experiment_of(run), ""), record)
        raise NotFound(f"Team {tenant} has no run {run_id[:64]!r}.", remedy="List the runs: lineshaft training runs", code="run_unknown")

    async def compare(self, tenant: str, run_ids: builtins.list[str]) -> Comparison:
        """Put runs side by side. Raises NotFound for one that the team has not, InvalidInput `runs_too_many` beyond twenty."""
        wanted = builtins.list(dict.fromkeys(run_ids))
        if not 2 <= len(wanted) <= COMPARED_MAX:
            raise InvalidInput(f"{len(wanted)} different runs were named.", remedy=f"Name 2 to {COMPARED_MAX}.", code="runs_not_comparable")
        return compared([await self.get(tenant, each) for each in wanted])

    async def _run(self, run_id: str) -> JsonValue:
        try:
            return (await self.tracking.get("/runs/get", {"run_id": run_id}))["run"]
        except NotFound:
            return None

    async def _experiments(self, tenant: str, experiment: str | None) -> dict[str, str]:
        """The team's experiments: id to name without the team."""
        prefix = f"{tenant}/"
        condition = f"name = '{prefix}{experiment}'" if experiment is not None else f"name LIKE '{prefix}%'"
        answer = await self.tracking.post("/experiments/search", {"filter": condition, "max_results": EXPERIMENTS_MAX})
        found = cast("builtins.list[dict[str, JsonValue]]", answer.get("experiments", []))
        # A pattern's wildcards may be part of a team's name: what it finds is looked at once more.
        return {str(each["experiment_id"]): str(each["name"])[len(prefix) :] for each in found if str(each["name"]).startswith(prefix)}

    async def _search(self, experiments: builtins.list[str], condition: str, count: int) -> builtins.list[tuple[Run, dict[str, JsonValue]]]:
        found: builtins.list[tuple[Run, dict[str, JsonValue]]] = []
        page = ""
        while len(found) < count:
            body = {
                "experiment_ids": experiments,
                "filter": condition,
                "max_results": min(count - len(found), PAGE_MAX),
                "page_token": page,
            }
            answer = await self.tracking.post("/runs/search", {**body, "order_by": ["attributes.start_time DESC"]})
            some = cast("builtins.list[dict[str, JsonValue]]", answer.get("runs", []))
            found += [(Run.model_validate(each), each) for each in some]
            page = str(answer.get("next_page_token") or "")
            if not page:
                break
        return found

    def _line(self, run: Run, experiment: str, record: dict[str, JsonValue]) -> RunLine:
        tags, info = run.tags, cast("dict[str, JsonValue]", record["info"])
        began, ended = seconds(info.get("start_time")), seconds(info.get("end_time"))
        own = {name: value for name, value in tags.items() if name.startswith("lineshaft.") and not name.startswith(ENVIRONMENT)}
        return RunLine(
            run_id=run.info.run_id,
            experiment=experiment,
            name=tags.get("mlflow.runName", ""),
            status=run.info.status,
            metrics=run.metrics,
            parameters={each.key: each.value for each in run.data.params},
            tags={name.removeprefix("lineshaft."): value for name, value in own.items()},
            environment={name.removeprefix(ENVIRONMENT): value for name, value in tags.items() if name.startswith(ENVIRONMENT)},
            study_id=tags.get(STUDY_TAG, ""),
            parent_run_id=tags.get(PARENT_TAG, ""),
            started_at=began,
            seconds=round(ended - began, 3) if began is not None and ended is not None else None,
            url=self.tracking.run_url(run),
        )


def compared(runs: list[RunLine]) -> Comparison:
    """Put runs side by side, what differs first."""
    return Comparison(
        runs=runs,
        metrics=rows([dict(run.metrics) for run in runs], [run.run_id for run in runs]),
        parameters=rows([dict(run.parameters) for run in runs]),
        environment=rows([dict(run.environment) for run in runs]),
    )


def rows(tables: list[dict[str, float]] | list[dict[str, str]], run_ids: list[str] | None = None) -> list[Compared]:
    """One row a name; with run ids, the numbers are compared and the highest is named."""
    found = []
    for name in sorted({each for table in tables for each in table}):
        values: list[float | str | None] = [table.get(name) for table in tables]
        numbers = [(value, run) for value, run in zip(values, run_ids or [], strict=False) if isinstance(value, float)]
        best = max(numbers, key=lambda pair: pair[0])[1] if numbers else None
        found.append(Compared(name=name, values=values, differs=len(set(values)) > 1, best=best))
    return sorted(found, key=lambda row: not row.differs)


def experiment_of(run: Run) -> str:
    """The experiment that a run is in."""
    return run.info.experiment_id


def list_of(names: dict[str, str]) -> list[str]:
    """Ids of experiments."""
    return [*names]


def seconds(value: JsonValue) -> float | None:
    """A moment of the server in seconds; none for a run that has not ended."""
    return float(str(value)) / MILLISECONDS if value not in (None, "", 0, "0") else None
