"""Several programs of one job side by side: each with a watcher of its own, forked from the job's. Standard library only."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress

from factory_infra.iaas.jobs.providers.process_tree import become_subreaper, die_with_parent, send
from factory_infra.iaas.jobs.providers.verdict import Stop
from factory_infra.iaas.jobs.providers.watch import SIGNALS, received

WAIT_SECONDS = 1.0


class Group:
    """Runs members, at most so many at a time, each in a lane.

    Args:
        members: their numbers, in the order in which they start.
        lanes: how many run at a time.
        live: runs one member to its end, in a process of its own: told its number and its lane. Raises OSError.
        ended: told when a member has ended, and whether its watcher was killed; returns whether the others are to end too.
    """

    def __init__(self, members: Iterable[int], lanes: int, live: Callable[[int, int], None], ended: Callable[[int, bool], bool]) -> None:
        self._waiting = list(members)[::-1]
        self._lanes = list(range(lanes))[::-1]
        self._live = live
        self._ended = ended
        self._running: dict[int, tuple[int, int]] = {}

    def run(self) -> Stop:
        """Run all; returns CANCELLED or SILENT where that was asked for from outside, else NONE."""
        asked, told = Stop.NONE, Stop.NONE
        while self._running or (self._waiting and told is Stop.NONE):
            while self._waiting and self._lanes and told is Stop.NONE:
                self._start(self._waiting.pop(), self._lanes.pop())
            stop = received(signal.sigtimedwait(SIGNALS, WAIT_SECONDS))
            enough = self._reap()
            asked = stop if stop is not Stop.NONE else asked
            wanted = asked if asked is not Stop.NONE else Stop.CANCELLED if enough else told
            if wanted is not told:
                told = wanted
                send(list(self._running), signal.SIGUSR1 if told is Stop.SILENT else signal.SIGTERM)
        return asked

    def _start(self, member: int, lane: int) -> None:
        parent = os.getpid()
        child = os.fork()
        if child:
            self._running[child] = (member, lane)
            return
        code = 1
        try:
            become_subreaper()
            die_with_parent(parent)
            self._live(member, lane)
            code = 0
        except OSError as error:
            sys.stderr.write(f"-- the files of part {member} could not be written: {error.strerror} --\n")
        finally:
            if code and sys.exc_info()[0] is not None:
                traceback.print_exc()
            with suppress(OSError):
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> bool:
        """Collect the members that ended; returns whether the others are to end too. A watcher that was killed leaves its orphans to us."""
        enough = False
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid in self._running:
                    member, lane = self._running.pop(pid)
                    self._lanes.append(lane)
                    enough = self._ended(member, os.WIFSIGNALED(status)) or enough
        return enough
