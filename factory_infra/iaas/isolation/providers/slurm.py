"""The walls between tenants in a Slurm cluster: an account and a Unix account each, closed folders, and a private queue."""

import asyncio
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

from factory_infra.foundation.pools.slurm import Ask, SlurmCommands
from factory_infra.foundation.pools.slurm_accounts import Association, SlurmAccounts, account_name, user_of
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.isolation.models import Attempt, Wall
from factory_infra.iaas.isolation.providers.slurm_attack import Attack
from factory_infra.iaas.jobs.providers.slurm import SlurmJobs
from factory_infra.settings import Settings

FOLDERS_MAX = 1000
PRIVATE_NEEDED = ("jobs", "usage")


class SlurmWalls:
    """Walls in one pool of Slurm.

    Args:
        pool: its account, and which Unix account each team has.
        settings: of the installation.
    """

    def __init__(self, pool: SlurmPool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._commands = SlurmCommands(pool)
        self._accounts = SlurmAccounts(pool, self._commands)

    async def ensure(self, tenant: str) -> list[Wall]:
        """Make the team's account and let its Unix account use it. What slurm.conf has to say is only told."""
        return await asyncio.to_thread(self._ensure, tenant)

    async def check(self, tenant: str) -> list[Wall]:
        """Tell which walls stand."""
        return await asyncio.to_thread(self._check, tenant)

    async def attack(self, attacker: str, victim: str) -> list[Attempt]:
        """As the attacker's Unix account, and through our own door as the attacker, try everything on a job of the victim."""
        return await Attack(self._pool, SlurmJobs(self._pool, self._settings), self._commands).run(attacker, victim)

    async def remove(self, tenant: str) -> None:
        """Delete the team's account; what its jobs used stays in the books."""
        await asyncio.to_thread(self._accounts.remove, tenant)

    async def limit(self, tenant: str, slots: int | None) -> None:
        """Bound what all jobs of the team may use together in Slurm itself, as its quota says; None for no bound."""
        await asyncio.to_thread(self._accounts.limit, tenant, slots)

    def _ensure(self, tenant: str) -> list[Wall]:
        lines = self._accounts.ensure(tenant)
        folder = self._folder(tenant)
        if folder.is_dir():
            folder.chmod(0o711)
            for job in self._jobs_of(folder):
                job.chmod(0o700)
        return self._walls(tenant, lines)

    def _check(self, tenant: str) -> list[Wall]:
        return self._walls(tenant, self._accounts.associations(tenant))

    def _walls(self, tenant: str, lines: Sequence[Association] | None) -> list[Wall]:
        config = config_of(self._commands.run(Ask(["scontrol", "show", "config"])))
        return [
            self._account_wall(tenant, lines, config),
            self._quota_wall(lines),
            self._user_wall(tenant),
            self._folder_wall(tenant),
            private_wall(config),
            process_wall(config),
        ]

    def _account_wall(self, tenant: str, lines: Sequence[Association] | None, config: dict[str, str]) -> Wall:
        name, user = account_name(self._pool, tenant), user_of(self._pool, tenant)
        users = {each.user for each in lines or [] if each.user}
        strangers = sorted(users - {user})
        if lines is None:
            state, note = "not_available", "The cluster keeps no accounts (no slurmdbd): a team's leases alone bound what it uses."
        elif user not in users:
            state, note = "missing", f"{user} may not use the account {name}."
        elif strangers:
            state, note = "broken", f"Others may use the account {name}: {', '.join(strangers)[:200]}."
        elif "associations" not in config.get("AccountingStorageEnforce", ""):
            state, note = (
                "not_available",
                "slurm.conf does not enforce associations (AccountingStorageEnforce): any account is taken.",
            )
        else:
            state, note = "up", f"{name}, used by {user} alone."
        return Wall.model_validate({"name": "slurm_account", "state": state, "note": note})

    def _quota_wall(self, lines: Sequence[Association] | None) -> Wall:
        limit = self._accounts.limit_in(lines or [])
        if limit is None:
            return Wall(name="slurm_quota", state="not_available", note="No quota was set in Slurm: the team's leases alone bound it.")
        return Wall(name="slurm_quota", state="up", note=f"At most {limit} {self._accounts.resource()} at a time.")

    def _user_wall(self, tenant: str) -> Wall:
        user = self._pool.users.get(tenant)
        if user is None:
            note = f"The pool's entry names no Unix account for the team: its jobs run as {user_of(self._pool, tenant)}, like other teams'."
            return Wall(name="unix_user", state="not_available", note=note)
        shared = sorted(team for team, account in self._pool.users.items() if account == user and team != tenant)
        if shared:
            return Wall(name="unix_user", state="broken", note=f"{user} is also the Unix account of {', '.join(shared)}.")
        try:
            pwd.getpwnam(user)
        except KeyError:
            return Wall(name="unix_user", state="missing", note=f"There is no Unix account {user} on this host.")
        return Wall(name="unix_user", state="up", note=f"Its jobs run as {user}.")

    def _folder_wall(self, tenant: str) -> Wall:
        folder = self._folder(tenant)
        wide = [job.name for job in self._jobs_of(folder) if job.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
        if wide or (folder.is_dir() and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            return Wall(name="job_folders", state="broken", note=f"Others may enter: {', '.join(wide[:5]) or folder.name}.")
        return Wall(name="job_folders", state="up", note="Each job's folder is open to its own Unix account alone.")

    def _folder(self, tenant: str) -> Path:
        return self._pool.work_dir / self._pool.name / "jobs" / tenant

    def _jobs_of(self, folder: Path) -> list[Path]:
        """The newest folders; a link that lies there is none."""
        found = [job for job in folder.iterdir() if job.is_dir() and not job.is_symlink()] if folder.is_dir() else []
        return sorted(found, key=lambda job: job.lstat().st_mtime_ns, reverse=True)[:FOLDERS_MAX]


def config_of(text: str) -> dict[str, str]:
    """Read what `scontrol show config` printed."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def private_wall(config: dict[str, str]) -> Wall:
    """Whether the queue shows a team's jobs to others. Only the cluster's administrator can change it."""
    private = config.get("PrivateData", "none")
    lacking = [name for name in PRIVATE_NEEDED if name not in private.split(",")]
    if lacking:
        note = f"slurm.conf has PrivateData={private}, without {' and '.join(lacking)}: others see that jobs exist, and what they use."
        return Wall(name="private_data", state="not_available", note=note)
    return Wall(name="private_data", state="up", note=f"PrivateData={private}")


def process_wall(config: dict[str, str]) -> Wall:
    """Whether a job's processes are held together, so that none outlives it."""
    kind = config.get("ProctrackType", "")
    if "cgroup" in kind:
        return Wall(name="processes", state="up", note=f"{kind}: no process outlives its job.")
    note = f"{kind or 'No ProctrackType'}: a process that detaches itself may outlive its job."
    return Wall(name="processes", state="not_available", note=note)
