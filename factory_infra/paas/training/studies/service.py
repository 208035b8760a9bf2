"""Studies: start, read, stop. Their trials are moved by turns, which the worker takes: see `turning`."""

import builtins
import hashlib

from pydantic import JsonValue
from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput
from factory_infra.paas.training.datasets import dataset_named
from factory_infra.paas.training.environments.catalogue import environment_named
from factory_infra.paas.training.spec import SET_PREFIX
from factory_infra.paas.training.studies.around import TrialLeases
from factory_infra.paas.training.studies.models import CommandProgram, Study, StudyReport, StudySpec, StudyState, TabularProgram, Trial
from factory_infra.paas.training.studies.programs import TABULAR_PARAMETERS
from factory_infra.paas.training.studies.space import ChoiceParameter, FloatParameter, IntParameter, Scalar
from factory_infra.paas.training.studies.store import OPEN, find, report_of, study_of, trial_of
from factory_infra.paas.training.studies.tables import StudyRow, TrialRow
from factory_infra.records.audit import NewEntry, digest_of, write

PAGE_MAX = 500


class Studies:
    """Starts, tells of and stops searches for parameters. Their state is in PostgreSQL, so that whoever turns them goes on after a crash.

    A tenant of None in a read means an administrator, who sees all.
    """

    def __init__(self, database: Database, leases: TrialLeases) -> None:
        self._database = database
        self._leases = leases

    async def start(self, tenant: str, spec: StudySpec, lease_id: str, key: str, *, by: str, plan_id: str = "") -> Study:  # noqa: PLR0913
        """Begin a study on a lease that is held or waited for; idempotent by key.

        Raises InvalidInput `study_invalid`, `dataset_unknown`, `environment_unknown`, NotFound for the lease, Conflict `lease_ended`
        and `key_reused`.
        """
        check(spec)
        lease = await self._leases.get(tenant, lease_id)
        if lease.slots and len(lease.slots) < spec.slots_per_trial:
            reason = f"A trial needs {spec.slots_per_trial} slots, lease {lease.id} has {len(lease.slots)}."
            raise InvalidInput(reason, remedy="Lease more, or give a trial fewer.", code="study_invalid")
        name, document = study_id(tenant, key), spec.model_dump(mode="json")
        async with self._database.transaction(lock=f"study/{name}") as session:
            known = await session.scalar(select(StudyRow).where(StudyRow.key == key))
            if known is not None:
                if (known.tenant, known.spec, known.lease_id) != (tenant, document, lease_id):
                    raise Conflict("This key started another study.", remedy="Use a key once.", code="key_reused")
                return study_of(known)
            if not lease.state.open:
                raise Conflict(f"Lease {lease.id} is {lease.state}.", remedy="Ask for a new one.", code="lease_ended")
            row = row_of(tenant, name, key, spec, document)
            row.lease_id, row.plan_id, row.created_by = lease_id, plan_id, by
            session.add(row)
            await session.flush()
            await write(session, NewEntry(action="studies:start", object=f"study/{name}", tenant=tenant, after=digest_of(spec)))
            return study_of(row)

    async def get(self, study: str, tenant: str | None) -> Study:
        """Return a study. Raises NotFound."""
        async with self._database.transaction() as session:
            return study_of(await find(session, study, tenant))

    async def report(self, study: str, tenant: str | None) -> StudyReport:
        """Return a study with its best trial and what its trials came to. Raises NotFound."""
        async with self._database.transaction() as session:
            return await report_of(session, await find(session, study, tenant))

    async def list(
        self, tenant: str | None, *, name: str | None = None, open_only: bool = False, limit: int = 100, offset: int = 0
    ) -> builtins.list[Study]:
        """Return studies, newest first."""
        query = select(StudyRow).order_by(StudyRow.created_at.desc(), StudyRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        query = query if tenant is None else query.where(StudyRow.tenant == tenant)
        query = query if name is None else query.where(StudyRow.name == name)
        query = query.where(StudyRow.state.in_(OPEN)) if open_only else query
        async with self._database.transaction() as session:
            return [study_of(row) for row in await session.scalars(query)]

    async def trials(
        self, study: str, tenant: str | None, *, state: str | None = None, limit: int = 100, offset: int = 0
    ) -> builtins.list[Trial]:
        """Return a page of a study's trials by number. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await find(session, study, tenant)
            query = select(TrialRow).where(TrialRow.tenant == row.tenant, TrialRow.study_id == row.id).order_by(TrialRow.number)
            query = query if state is None else query.where(TrialRow.state == state)
            return [trial_of(each) for each in await session.scalars(query.limit(min(limit, PAGE_MAX)).offset(offset))]

    async def stop(self, study: str, tenant: str | None, reason: str) -> Study:
        """End a study: what runs is ended by the next turn, what was found stays. Ending an ended one is no error. Raises NotFound."""
        async with self._database.transaction(lock=f"study/{study}") as session:
            row = await find(session, study, tenant)
            if row.state == StudyState.RUNNING.value:
                row.state, row.code, row.reason = StudyState.STOPPING.value, "stopped", reason[:1000]
                await write(session, NewEntry(action="studies:stop", object=f"study/{row.id}", tenant=row.tenant))
            return study_of(row)

    async def open_ids(self) -> builtins.list[str]:
        """The studies that have something to do, of all teams."""
        async with self._database.transaction() as session:
            return [*await session.scalars(select(StudyRow.id).where(StudyRow.state.in_(OPEN)).order_by(StudyRow.created_at))]


def study_id(tenant: str, key: str) -> str:
    """The id of the study that a key starts."""
    return "study-" + hashlib.sha256(f"{tenant}/{key}".encode()).hexdigest()[:16]


def row_of(tenant: str, name: str, key: str, spec: StudySpec, document: dict[str, JsonValue]) -> StudyRow:
    """A study that begins now."""
    return StudyRow(
        tenant=tenant,
        id=name,
        key=key,
        name=spec.name,
        spec=document,
        state=StudyState.RUNNING.value,
        run_id="",
        run_url="",
        code="",
        reason="",
        created_at=utcnow(),
    )


def check(spec: StudySpec) -> None:
    """Refuse what no trial could do. Raises InvalidInput."""
    program = spec.program
    if isinstance(program, CommandProgram):
        if program.python:
            environment_named(program.python)
        return
    check_tabular(program, spec)


def check_tabular(program: TabularProgram, spec: StudySpec) -> None:
    """The dataset is there, and the algorithm takes these parameters."""
    if not program.dataset.startswith(SET_PREFIX):
        dataset_named(program.dataset)
    known = TABULAR_PARAMETERS[program.algorithm]
    if unknown := sorted(set(spec.space) - set(known)):
        reason = f"{program.algorithm} has no parameter {unknown[0]!r}."
        raise InvalidInput(reason, remedy=f"Choose among {', '.join(sorted(known))}.", code="study_invalid")
    for name, parameter in spec.space.items():
        wrong = [value for value in edges(parameter) if not known[name](value)]
        if wrong:
            raise InvalidInput(f"{name} of {program.algorithm} cannot be {wrong[0]!r}.", remedy="Narrow its range.", code="study_invalid")


def edges(parameter: FloatParameter | IntParameter | ChoiceParameter) -> builtins.list[Scalar]:
    """The outermost values of a parameter, or all of its choices."""
    return list(parameter.choices) if isinstance(parameter, ChoiceParameter) else [parameter.low, parameter.high]
