"""How a pool of Slurm is reached: its programs run with argument vectors under a deadline, and Slurm's refusals in our words."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from factory_infra.errors import (
    CapacityExceeded,
    EffectFailed,
    Forbidden,
    InvalidInput,
    LineshaftError,
    NotFound,
    QuotaExceeded,
    Unavailable,
)
from factory_infra.foundation.pools.spec import SlurmPool

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/opt/slurm/bin"
ANSWER_SECONDS = 60.0
"""Slurm's own programs give up after a few times MessageTimeout; this is for one that hangs."""
WORDS_MAX = 400


@dataclass(frozen=True)
class Ask:
    """One run of a program of Slurm.

    Args:
        argv: the program and its arguments; never a shell string.
        user: the account of this host that runs it, where that is not ours; only root may.
        text: what it reads from its standard input.
        keep: descriptors that it inherits, so that locks behind them last as long as it does.
    """

    argv: Sequence[str]
    user: str = ""
    text: str = ""
    keep: tuple[int, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


class Said(NamedTuple):
    """What a program answered."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Its complaint on one line, without the program's name before it."""
        lines = [line.partition("error: ")[2] or line for line in (self.err or self.out).splitlines() if line.strip()]
        return "; ".join(lines)[:WORDS_MAX]


class SlurmCommands:
    """Runs Slurm's programs for one pool. Nothing of our own environment reaches them.

    Args:
        pool: which cluster, by the configuration that its entry names.
    """

    def __init__(self, pool: SlurmPool) -> None:
        self._pool = pool

    def run(self, ask: Ask) -> str:
        """Run a program and return what it printed. Raises what `refusal` makes of its complaint."""
        said = self.ask(ask)
        if said.code != 0:
            raise refusal(said.words, self._pool)
        return said.out

    def ask(self, ask: Ask) -> Said:
        """Run a program; a refusal is an answer too. Raises EffectFailed where it is not here, Unavailable where it hangs."""
        program = shutil.which(ask.argv[0], path=SEARCH_PATH)
        if program is None:
            raise EffectFailed(
                f"Slurm's program {ask.argv[0]} is not on this host, so pool '{self._pool.name}' cannot be reached.",
                remedy="Install Slurm's client programs here, or run Lineshaft on a login node.",
                code="engine_missing",
            )
        if self._pool.config is not None and not self._pool.config.is_file():
            # Slurm's programs would look for it for a minute.
            raise refusal(f"there is no configuration source {self._pool.config}", self._pool)
        try:
            done = subprocess.run(
                [program, *ask.argv[1:]],
                input=ask.text,
                capture_output=True,
                env=self.environment() | ask.environment,
                pass_fds=ask.keep,
                timeout=ANSWER_SECONDS,
                encoding="utf-8",
                errors="replace",
                cwd="/",
                check=False,
                **account_of(ask.user),
            )
        except subprocess.TimeoutExpired as error:
            raise silent(self._pool, f"{ask.argv[0]} did not answer in {ANSWER_SECONDS:g} s") from error
        return Said(done.returncode, done.stdout, done.stderr)

    def environment(self) -> dict[str, str]:
        """What every program gets: no secret, and times as seconds since 1970."""
        own = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "SLURM_TIME_FORMAT": "%s"}
        if self._pool.config is not None:
            own["SLURM_CONF"] = str(self._pool.config)
        if self._pool.cluster:
            own["SLURM_CLUSTERS"] = self._pool.cluster
        return own


class _Account(TypedDict, total=False):
    """How a program is run as somebody else."""

    user: str
    group: int
    extra_groups: list[int]


def account_of(user: str) -> _Account:
    """Return what `subprocess` needs to run something as another account.

    Raises NotFound where there is none of the name, Forbidden where we may not.
    """
    if not user:
        return {}
    if os.geteuid() != 0:
        raise Forbidden(
            f"Only root may act for the Unix account {user}.", remedy="Run Lineshaft as root, or leave `users` out of the pool's entry."
        )
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise NotFound(
            f"There is no Unix account {user} on this host.", remedy="Create it here and on the nodes.", code="account_unknown"
        ) from error
    return {"user": user, "group": entry.pw_gid, "extra_groups": []}


class Refusal(NamedTuple):
    """What a complaint of Slurm is in our tree of errors."""

    kind: type[LineshaftError]
    code: str
    reason: str
    remedy: str


UNREACHABLE = Refusal(
    Unavailable,
    "engine_silent",
    "Slurm does not answer",
    "Try again in a moment; `scontrol ping` on this host says whether slurmctld runs.",
)
TOO_MANY_TASKS = Refusal(InvalidInput, "array_too_large", "Slurm refuses so many tasks", "Ask for fewer, or have MaxArraySize raised.")
REFUSALS: tuple[tuple[str, Refusal], ...] = (
    ("Unable to contact slurm controller", UNREACHABLE),
    ("Socket timed out", UNREACHABLE),
    ("Zero Bytes were transmitted", UNREACHABLE),
    ("Connection refused", UNREACHABLE),
    ("Connection reset", UNREACHABLE),
    ("Problem talking to the database", UNREACHABLE),
    ("Transport endpoint is not connected", UNREACHABLE),
    ("Unexpected message received", UNREACHABLE),
    ("Slurm backup controller in standby mode", UNREACHABLE),
    ("Slurm temporarily unable to accept job", UNREACHABLE),
    ("Resource temporarily unavailable", UNREACHABLE),
    ("Munge encode failed", Refusal(Unavailable, "engine_silent", "munge does not answer on this host", "Start munged here.")),
    (
        "rotocol authentication error",
        Refusal(
            EffectFailed, "pool_credentials", "Slurm does not believe who we are", "Compare the munge key and the clock with the cluster's."
        ),
    ),
    (
        "configuration source",
        Refusal(
            EffectFailed, "pool_unreachable", "Slurm's configuration is not found", "Name slurm.conf with `config:` in the pool's entry."
        ),
    ),
    (
        "Invalid account or account/partition",
        Refusal(EffectFailed, "account_missing", "Slurm has no such account for us", "Put up the team's walls in this pool again."),
    ),
    (
        "nvalid partition",
        Refusal(InvalidInput, "partition_unknown", "Slurm has no such partition", "Name one that `sinfo` lists in the pool's entry."),
    ),
    (
        "Invalid qos",
        Refusal(InvalidInput, "queue_unknown", "Slurm does not give the team this QOS", "Name one that its account has, or none."),
    ),
    (
        "Job violates accounting/QOS policy",
        Refusal(
            QuotaExceeded, "quota_exceeded", "A limit of the team's account or QOS refuses the job", "Ask for less, or raise the limit."
        ),
    ),
    ("Job array", TOO_MANY_TASKS),
    ("Invalid job array specification", TOO_MANY_TASKS),
    (
        "Memory specification can not be satisfied",
        Refusal(CapacityExceeded, "capacity_exceeded", "No node has so much memory", "Ask for less memory."),
    ),
    (
        "Requested node configuration is not available",
        Refusal(
            CapacityExceeded, "capacity_exceeded", "No node of the partition has what is asked for", "Ask for fewer GPUs, cores or nodes."
        ),
    ),
    (
        "Node count specification invalid",
        Refusal(CapacityExceeded, "capacity_exceeded", "The partition has not so many nodes", "Ask for fewer nodes."),
    ),
    (
        "More processors requested than permitted",
        Refusal(CapacityExceeded, "capacity_exceeded", "No node has so many cores", "Ask for fewer."),
    ),
    (
        "Requested time limit is invalid",
        Refusal(InvalidInput, "duration_invalid", "The partition does not allow so long a job", "Ask for less time."),
    ),
    (
        "Invalid generic resource",
        Refusal(InvalidInput, "gres_unknown", "The cluster has no such accelerator", "Set `gres` in the pool's entry."),
    ),
    ("ermission denied", Refusal(Forbidden, "forbidden", "Slurm does not allow that to us", "See docs/slurm.md for the rights needed.")),
    ("Invalid job id", Refusal(NotFound, "job_unknown", "Slurm does not know the job any more", "List the jobs.")),
    ("Unspecified error", UNREACHABLE),
)
"""The first whose words are found in a complaint says what it is."""


def refusal(words: str, pool: SlurmPool) -> LineshaftError:
    """Turn a complaint of Slurm into one of our errors, with its own words."""
    for part, kind in REFUSALS:
        if part in words:
            said = f"{kind.reason} (pool '{pool.name}'): {words}"
            return kind.kind(said, remedy=kind.remedy, code=kind.code)
    return EffectFailed(
        f"Slurm refused (pool '{pool.name}'): {words or 'without a word'}", remedy="Read slurmctld's log.", code="engine_refused"
    )


def silent(pool: SlurmPool, what: str) -> Unavailable:
    """The error for a program that hangs: whether its request was carried out is not known."""
    return Unavailable(f"Slurm does not answer (pool '{pool.name}'): {what}.", remedy=UNREACHABLE.remedy, code=UNREACHABLE.code)


def accounting_is_off(words: str) -> bool:
    """Whether a cluster simply keeps no accounts of jobs that ended."""
    return any(each in words.lower() for each in ("accounting storage is disabled", "not enabled", "supported accounting_storage"))
