"""The account that PostgreSQL runs as when we are root, since it refuses to be root, and the rights that it needs."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from cli.stack.events import Event, OnEvent
from cli.stack.part import SystemUser
from factory_infra.errors import Unavailable

_NAME = "pgserver"


def server_account() -> SystemUser | None:
    """Return the account to change to, made at the first call; None when we are not root. Raises Unavailable."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError:
        entry = _make_account()
    return SystemUser(entry.pw_uid, entry.pw_gid)


def _make_account() -> pwd.struct_passwd:
    program = shutil.which("useradd") or "/usr/sbin/useradd"
    command = [program, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(
            f"PostgreSQL does not run as root, and the system user {_NAME} cannot be made ({error}).",
            remedy=f"Run lineshaft as an ordinary user, make a user {_NAME}, or set LINESHAFT_DATABASE_URL to a server of yours.",
            code="postgres_account",
        ) from error
    return pwd.getpwnam(_NAME)


def let_through(path: Path, emit: OnEvent) -> None:
    """Let other accounts pass through, not read, each folder above a path; say which folders were opened. Raises OSError."""
    for folder in path.absolute().resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            emit(Event("postgres", "note", f"gave the account {_NAME} the right to pass through {folder} (o+x)"))


def let_read(folder: Path) -> None:
    """Make a tree of programs readable to other accounts. Raises OSError."""
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)
