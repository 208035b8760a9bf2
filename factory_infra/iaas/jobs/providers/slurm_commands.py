"""Slurm's queue through its command line: `sbatch`, `squeue`, `sacct` and `scancel`.

Their fixed formats are read, not `--json`: its shape changes with every release of Slurm, the letters of `--format` have not.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from factory_infra.errors import NotFound
from factory_infra.foundation.pools.slurm import Ask, SlurmCommands, accounting_is_off, refusal
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.providers.slurm_engine import Ending, Order, Row, expanded

QUEUE_FORMAT = "%i|%u|%T|%N|%S|%e|%r|%j"
ACCOUNT_FORMAT = "JobID,User,State,NodeList,Start,End,ExitCode,JobName"
ALWAYS = (
    "--parsable",
    "--requeue",
    "--open-mode=append",
    "--input=/dev/null",
    "--export=ALL",
    "--propagate=NONE",
    "--kill-on-invalid-dep=yes",
)
ENDED_WORDS = ("already completing or completed", "Invalid job id")
ARGUMENT_IDS_MAX = 500
ENDINGS: dict[Ending, tuple[tuple[str, ...], ...]] = {
    "withdraw": (("--state=PENDING",),),
    "ask": (("--signal=TERM", "--full"),),
    "kill": (("--signal=KILL", "--full"), ()),
}


class CommandEngine:
    """Asks by programs on this host.

    Args:
        pool: the partition and its cluster.
        commands: how programs are run.
    """

    def __init__(self, pool: SlurmPool, commands: SlurmCommands) -> None:
        self._pool = pool
        self._commands = commands

    def submit(self, order: Order, keep: tuple[int, ...] = ()) -> str:
        """Queue a job and return its number."""
        out = self._commands.run(Ask(argv_of(order), user=order.user, text=order.script, keep=keep))
        return out.strip().splitlines()[-1].partition(";")[0]

    def queued(self, ids: Sequence[str]) -> list[Row]:
        """Return what slurmctld still knows of these jobs."""
        rows: list[Row] = []
        for start in range(0, len(ids), ARGUMENT_IDS_MAX):
            rows += self._queue(f"--jobs={','.join(ids[start : start + ARGUMENT_IDS_MAX])}")
        return rows

    def named(self, name: str, since: datetime) -> list[Row]:
        """Return every job of this name, the oldest first."""
        now = self._queue(f"--name={name}")
        known = {row.job for row in now}
        past = [row for row in self._accounts(f"--name={name}", since) if row.job not in known]
        return sorted((row for row in now + past if row.name == name), key=lambda row: int(row.job))

    def ended(self, ids: Sequence[str], since: datetime) -> list[Row]:
        """Return what the accounts remember of these jobs."""
        rows: list[Row] = []
        for start in range(0, len(ids), ARGUMENT_IDS_MAX):
            rows += self._accounts(f"--jobs={','.join(ids[start : start + ARGUMENT_IDS_MAX])}", since)
        return rows

    def end(self, job_id: str, how: Ending) -> None:
        """Take a job back, ask for its end, or kill it."""
        for arguments in ENDINGS[how]:
            said = self._commands.ask(Ask(["scancel", *arguments, job_id]))
            if said.code != 0 and said.err.strip() and not any(words in said.err for words in ENDED_WORDS):
                raise refusal(said.words, self._pool)

    def release(self, job_id: str) -> None:
        """Let a held job wait for its turn again."""
        said = self._commands.ask(Ask(["scontrol", "release", job_id]))
        if said.code != 0 and said.err.strip() and not any(words in said.err for words in ENDED_WORDS):
            raise refusal(said.words, self._pool)

    def _queue(self, which: str) -> list[Row]:
        argv = ["squeue", "--noheader", "--array", "--states=all", f"--format={QUEUE_FORMAT}", which]
        try:
            return rows_of_queue(self._commands.run(Ask(argv)))
        except NotFound:
            return []

    def _accounts(self, which: str, since: datetime) -> list[Row]:
        argv = ["sacct", "--noheader", "--parsable2", "--allocations", "--allusers", f"--format={ACCOUNT_FORMAT}"]
        # sacct reads local time without a zone.
        said = self._commands.ask(Ask([*argv, f"--starttime={since.astimezone():%Y-%m-%dT%H:%M:%S}", which]))
        if said.code != 0 and accounting_is_off(said.err):
            return []
        if said.code != 0:
            raise refusal(said.words, self._pool)
        return rows_of_accounts(said.out)


def argv_of(order: Order) -> list[str]:
    """The arguments of `sbatch`; the script comes by its standard input."""
    wanted = {
        "job-name": order.name,
        "comment": order.comment,
        "account": order.account,
        "partition": order.partition,
        "qos": order.qos,
        "nodes": str(order.nodes),
        "ntasks": str(order.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(order.cpus),
        "gres": order.gres,
        "mem": f"{order.memory_mib}M",
        "time": "" if order.minutes is None else str(order.minutes),
        "array": f"0-{order.array - 1}{f'%{order.lanes}' if order.lanes else ''}" if order.array else "",
        "dependency": f"afterok:{':'.join(order.after)}" if order.after else "",
        "chdir": order.folder,
        "output": order.log,
    }
    given = [f"--{name}={value}" for name, value in wanted.items() if value]
    return ["sbatch", *ALWAYS, *(["--hold"] if order.held else []), *given]


def rows_of_queue(text: str) -> list[Row]:
    """Read what `squeue` printed in QUEUE_FORMAT."""
    rows = []
    for line in text.splitlines():
        job, user, state, nodes, starts, ends, rest = line.split("|", 6)
        # A reason is Slurm's own text, and a name may hold anything: the name comes last, after the last bar that is not ours.
        reason, _, name = rest.partition("|")
        rows.append(Row(job.strip(), name, user, state, reason, nodes, moment(starts), moment(ends)))
    return rows


def rows_of_accounts(text: str) -> list[Row]:
    """Read what `sacct` printed in ACCOUNT_FORMAT."""
    rows = []
    for line in text.splitlines():
        job, user, state, nodes, starts, ends, exits, name = line.split("|", 7)
        code, _, signal = exits.partition(":")
        rows += [
            Row(
                id=number,
                name=name,
                user=user,
                state=state.split(" ")[0],
                nodes=nodes,
                starts_at=moment(starts),
                ended_at=moment(ends),
                exit_code=int(code) if code.isdigit() else None,
                signal=int(signal) if signal.isdigit() else 0,
            )
            for number in expanded(job.partition("%")[0].rstrip("]") + "]" if "[" in job else job)
        ]
    return rows


def moment(text: str) -> datetime | None:
    """Read a time in seconds since 1970; None for N/A and Unknown."""
    return datetime.fromtimestamp(int(text), UTC) if text.strip().isdigit() and int(text) > 0 else None
