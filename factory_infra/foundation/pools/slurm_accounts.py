"""A team's account in Slurm's accounting: its name, who may use it, and how much it may use at a time."""

import hashlib
import os
import pwd
import re
from collections.abc import Sequence
from dataclasses import dataclass

from factory_infra.errors import EffectFailed, Unavailable
from factory_infra.foundation.pools.slurm import Ask, Said, SlurmCommands, accounting_is_off, refusal
from factory_infra.foundation.pools.spec import SlurmPool

PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
ASSOCIATION_FORMAT = "Account,User,GrpTRES,ParentName"
UNCHANGED = ("Nothing new added", "already exists", "Nothing modified", "Nothing deleted", "nothing new added")


@dataclass(frozen=True)
class Association:
    """A line between an account and a user; the account's own has no user."""

    account: str
    user: str
    limits: str
    parent: str


def account_name(pool: SlurmPool, tenant: str) -> str:
    """The name of a team's account: Slurm knows small letters only, so other names get a mark that keeps them apart."""
    if PLAIN.fullmatch(tenant):
        return f"{pool.account}_{tenant}"
    mark = hashlib.sha256(tenant.encode()).hexdigest()[:8]
    return f"{pool.account}_{re.sub(r'[^a-z0-9]+', '-', tenant.lower())[:60]}-{mark}"


def user_of(pool: SlurmPool, tenant: str) -> str:
    """The Unix account that a team's jobs run as."""
    return pool.users.get(tenant) or pwd.getpwuid(os.geteuid()).pw_name


class SlurmAccounts:
    """Keeps the accounts of teams below the pool's own. Every method may be repeated.

    Args:
        pool: where; needs the rights of an operator of Slurm for changes.
        commands: how programs are run.
    """

    def __init__(self, pool: SlurmPool, commands: SlurmCommands) -> None:
        self._pool = pool
        self._commands = commands

    def associations(self, tenant: str) -> list[Association] | None:
        """The lines of a team's account: none while it does not exist; None where the cluster keeps no accounts at all."""
        name = account_name(self._pool, tenant)
        said = self._ask("list", "associations", f"format={ASSOCIATION_FORMAT}", "where", f"account={name}", *self._where())
        if said.code != 0 and accounting_is_off(said.err):
            return None
        if said.code != 0:
            raise refusal(said.words, self._pool)
        return [association_of(line) for line in said.out.splitlines() if line.count("|") >= 3]

    def ensure(self, tenant: str) -> list[Association] | None:
        """Make the team's account and let its user use it; return its lines. Does nothing where the cluster keeps no accounts."""
        name, user = account_name(self._pool, tenant), user_of(self._pool, tenant)
        known = self.associations(tenant)
        if known is None or any(each.user == user for each in known):
            return known
        if not known:
            about = ["description=lineshaft", "organization=lineshaft"]
            self._change("add", "account", self._pool.account, *about, *self._where())
            self._change("add", "account", name, f"parent={self._pool.account}", *about, *self._where())
        self._change("add", "user", user, f"account={name}", *self._where())
        if self._pool.qos:
            self._change("modify", "user", "where", f"name={user}", f"account={name}", *self._where(), "set", f"qos+={self._pool.qos}")
        lines = self.associations(tenant) or []
        if not any(each.user == user for each in lines):
            raise EffectFailed(
                f"Slurm's account {name} of team {tenant} was asked for and is not there.",
                remedy="Look at slurmdbd's log.",
                code="account_missing",
            )
        return lines

    def limit(self, tenant: str, slots: int | None) -> None:
        """Set how many slots all jobs of the team may use together; None for no limit."""
        name = account_name(self._pool, tenant)
        value = -1 if slots is None else slots
        self._change("modify", "account", "where", f"name={name}", *self._where(), "set", f"GrpTRES={self.resource()}={value}")

    def limit_of(self, tenant: str) -> int | None:
        """How many slots the team's account may use together, as Slurm has it; None for no limit."""
        return self.limit_in(self.associations(tenant) or [])

    def limit_in(self, lines: Sequence[Association]) -> int | None:
        """The same, from the lines of the account."""
        own = next((each for each in lines if not each.user), None)
        parts = dict(part.partition("=")[::2] for part in (own.limits if own else "").split(","))
        value = parts.get(self.resource(), "")
        return int(value) if value.isdigit() else None

    def remove(self, tenant: str) -> None:
        """Take the team's account away; what its jobs used stays in the books."""
        if self.associations(tenant):
            self._change("delete", "account", "where", f"name={account_name(self._pool, tenant)}", *self._where())

    def resource(self) -> str:
        """What Slurm calls a slot in its limits."""
        return f"gres/{self._pool.gres}"

    def _where(self) -> list[str]:
        return [f"cluster={self._pool.cluster}"] if self._pool.cluster else []

    def _ask(self, *words: str) -> Said:
        return self._commands.ask(Ask(["sacctmgr", "--immediate", "--noheader", "--parsable2", *words]))

    def _change(self, *words: str) -> None:
        said = self._ask(*words)
        text = said.out + said.err
        if said.code != 0 and not any(each in text for each in UNCHANGED):
            error = refusal(said.words, self._pool)
            if isinstance(error, Unavailable):
                raise error
            raise EffectFailed(
                f"Slurm's accounts could not be changed (pool '{self._pool.name}'): {said.words}",
                remedy=f"Give this service's user AdminLevel=Operator, or make it coordinator of account {self._pool.account}.",
                code="accounts_refused",
            )


def association_of(line: str) -> Association:
    """Read one line in ASSOCIATION_FORMAT."""
    return Association(*line.split("|")[:4])
