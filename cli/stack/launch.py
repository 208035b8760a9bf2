"""Ties a part's life to the supervisor's, gives root up where asked, and becomes the part's program.

Run as a script with `python -I -S`: it imports nothing of ours, and `exec` leaves nothing of it behind.
Arguments: the supervisor's pid, the signal at its death, uid and gid (-1 keeps them), then the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Prepare this process and replace its program; returns only by raising."""
    parent, death_signal, uid, gid = (int(text) for text in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which would clear it again.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit("the supervisor is gone")
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 - no shell is meant: the part's argument vector is run as it is


if __name__ == "__main__":
    main(sys.argv[1:])
