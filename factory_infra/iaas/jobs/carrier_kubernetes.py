"""What runs beside a job's program in its pod: counts attempts, lays out its folder, and takes progress, results and a last log out.

Standard library only: it starts in a moment, in an image that has nothing but Python and this source tree. `prepare` runs before the
program and ends; `carry` runs beside it until the pod ends. It writes into two ConfigMaps that were made for this job, and no others.
"""

import argparse
import json
import shutil
import signal
import ssl
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

EXIT_TOO_OFTEN, EXIT_NO_MORE = 42, 43
OWN_FAULTS = frozenset({"DeadlineExceeded", "Evicted"})
TRIES = 8
TRY_SECONDS = 0.5
WAIT_SECONDS = 10.0
BEAT_SECONDS = 0.5
PROGRESS_TAIL_BYTES = 4096
RESULTS_BYTES_MAX = 900_000
LOG_KEPT_BYTES = 128 * 1024
LOG_READ_BYTES_MAX = 64 * 1024 * 1024
INPUT = "in."
PROGRESS = "progress.jsonl"
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
TOO_LARGE, NOT_FOUND = (413, 422), 404
Answer = TypeVar("Answer")


class Denied(OSError):
    """The API said no: the status, and its words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status


class Place(NamedTuple):
    """Whose carrier this is: the address of the API, the job's name in its namespace, the pod, and its folders."""

    server: str
    namespace: str
    name: str
    pod: str
    rank: int
    generation: str
    starts_max: int
    job_dir: Path
    run_dir: Path
    inputs: Path
    account: Path


class Api:
    """The few requests that a carrier makes, with the pod's own token, which the kubelet renews."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._address = urlsplit(place.server)
        secure = self._address.scheme == "https"
        self._context = ssl.create_default_context(cafile=str(place.account / "ca.crt")) if secure else None

    def out(self) -> dict[str, str]:
        """What all carriers of the job have written so far."""
        with self._open("GET", f"configmaps/{self._place.name}-out") as answer:
            found: dict[str, str] = json.load(answer).get("data") or {}
        return found

    def write(self, part: str, data: dict[str, str]) -> None:
        """Add to `out` or `res`."""
        body = json.dumps({"data": data}).encode()
        self._open("PATCH", f"configmaps/{self._place.name}-{part}", body).close()

    def ending(self) -> bool:
        """Whether our pod is being removed, and its log with it."""
        with self._open("GET", f"pods/{self._place.pod}") as answer:
            return "deletionTimestamp" in json.load(answer)["metadata"]

    def own_fault(self, pod: str) -> bool:
        """Whether a pod of this generation was ended for what it did: it ran too long, or filled its disk."""
        try:
            with self._open("GET", f"pods/{pod}") as answer:
                body = json.load(answer)
        except Denied as error:
            if error.status == NOT_FOUND:
                return False
            raise
        status, labels = body.get("status", {}), body["metadata"].get("labels", {})
        taken = any(each["type"] == "DisruptionTarget" and each["status"] == "True" for each in status.get("conditions", []))
        return status.get("reason") in OWN_FAULTS and not taken and labels.get("lineshaft.io/generation") == self._place.generation

    def log(self) -> HTTPResponse:
        """The program's log, from where it begins."""
        return self._open("GET", f"pods/{self._place.pod}/log?container=job&limitBytes={LOG_READ_BYTES_MAX}")

    def _open(self, method: str, path: str, body: bytes | None = None) -> HTTPResponse:
        host, port = self._address.hostname or "", self._address.port
        if self._context is not None:
            line: HTTPConnection = HTTPSConnection(host, port, timeout=WAIT_SECONDS, context=self._context)
        else:
            line = HTTPConnection(host, port, timeout=WAIT_SECONDS)
        token = (self._place.account / "token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json", "Connection": "close"}
        line.request(method, f"/api/v1/namespaces/{self._place.namespace}/{path}", body, headers)
        answer = line.getresponse()
        if answer.status >= 400:
            raise Denied(answer.status, answer.read(300).decode(errors="replace"))
        return answer


def prepare(place: Place, api: Api) -> int:
    """Count this start and lay the folder out. Returns the exit code: 42 for one start too many, 43 where another would do no good."""
    out = reached(api)
    if str(place.rank) in out.get("done", "").split(","):
        (place.run_dir / "env").write_text("exit 0\n", encoding="utf-8")
        return 0
    attempt = int(out.get(f"t{place.rank}.attempt", "0")) + 1
    before = out.get(f"t{place.rank}.a{attempt - 1}", "")
    if before and tried(lambda: api.own_fault(before)):
        say("The start before this one ran too long or filled its disk: it is not tried again.")
        return EXIT_NO_MORE
    counted(place, api, attempt)
    if attempt > place.starts_max:
        say(f"This is start {attempt} of the job, and {place.starts_max} are the most.")
        return EXIT_TOO_OFTEN
    (place.job_dir / "tmp").mkdir(exist_ok=True)
    (place.job_dir / "tmp").chmod(0o1777)
    for file in sorted(place.inputs.glob(f"{INPUT}*")):
        shutil.copyfile(file, place.job_dir / file.name.removeprefix(INPUT))
    (place.run_dir / "attempt").write_text(str(attempt), encoding="utf-8")
    (place.run_dir / "env").write_text(f"export LINESHAFT_ATTEMPT={attempt}\n", encoding="utf-8")
    return 0


def reached(api: Api) -> dict[str, str]:
    """What was written so far; the API may be away for a moment."""
    return tried(api.out)


def counted(place: Place, api: Api, attempt: int) -> None:
    """Write that this pod is that attempt. Written twice it is the same."""
    data = {f"t{place.rank}.attempt": str(attempt), f"t{place.rank}.a{attempt}": place.pod}
    tried(lambda: api.write("out", data))


def tried(ask: Callable[[], Answer]) -> Answer:
    """Ask, and ask again while the API is away, for half a minute. Raises what the last try raised."""
    for number in range(1, TRIES):
        try:
            return ask()
        except (OSError, HTTPException, ValueError) as error:
            say(f"The API server does not take the start of the job: {error}")
            time.sleep(TRY_SECONDS * number)
    return ask()


class Carrier:
    """Takes out what the program leaves."""

    def __init__(self, place: Place, api: Api) -> None:
        self._place, self._api = place, api
        self._told = ""

    def carry(self) -> int:
        """Until we are told to end: progress. Then everything else."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        (self._place.run_dir / "ready").touch()
        while signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, BEAT_SECONDS) is None:
            self._safely(self.progress)
        self._safely(self.progress)
        self._safely(self.results)
        self._safely(self.last_log)
        return 0

    def progress(self) -> None:
        """Write the last line of progress where it is another than before."""
        line = last_line(self._place.job_dir / PROGRESS)
        if line and line != self._told:
            self._api.write("out", {f"t{self._place.rank}.progress": line})
            self._told = line

    def results(self) -> None:
        """Write the small text files at the top of the folder, and the names of those that do not fit."""
        taken, left = self._results()
        if left:
            taken[f"t{self._place.rank}._left"] = json.dumps(left)
        if taken:
            self._api.write("res", taken)

    def _results(self) -> tuple[dict[str, str], dict[str, int]]:
        taken: dict[str, str] = {}
        left: dict[str, int] = {}
        room = RESULTS_BYTES_MAX
        for file in sorted(self._place.job_dir.iterdir()):
            if not file.is_file() or file.is_symlink() or file.name.startswith(".") or file.name == PROGRESS:
                continue
            size = file.stat().st_size
            if size > room or not LETTERS.issuperset(file.name):
                left[file.name] = size
            elif not self._given(file):
                taken[f"t{self._place.rank}.{file.name}"] = file.read_text(encoding="utf-8", errors="replace")
                room -= size
        return taken, left

    def _given(self, file: Path) -> bool:
        """Whether it is an input as it came."""
        source = self._place.inputs / f"{INPUT}{file.name}"
        return source.is_file() and source.read_bytes() == file.read_bytes()

    def last_log(self) -> None:
        """Keep the end of the log of a pod that is removed: nobody can ask for it afterwards."""
        if not self._api.ending():
            return
        kept, total = b"", 0
        with self._api.log() as log:
            while piece := log.read(65536):
                total += len(piece)
                kept = (kept + piece)[-LOG_KEPT_BYTES:]
        attempt = (self._place.run_dir / "attempt").read_text(encoding="utf-8")
        while True:
            text = kept.decode(errors="replace")
            data = {f"t{self._place.rank}.l{attempt}": text, f"t{self._place.rank}.b{attempt}": str(total - len(text.encode()))}
            try:
                self._api.write("out", data)
            except Denied as error:
                if error.status not in TOO_LARGE or not kept:
                    raise
                kept = kept[-(len(kept) // 4) :] if len(kept) > 4 else b""
            else:
                return

    def _safely(self, step: Callable[[], None]) -> None:
        """Do one step; what fails is said in our own log and tried again at the next beat."""
        try:
            step()
        except (OSError, HTTPException, ValueError) as error:
            say(f"{getattr(step, '__name__', 'step')}: {error}")


def say(text: str) -> None:
    """Write a line into the carrier's own log."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def last_line(file: Path) -> str:
    """The last whole line of a file; nothing where there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(file.stat().st_size - PROGRESS_TAIL_BYTES, 0))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return next((line for line in reversed(lines) if line.strip()), "")


def main() -> int:
    """Read the arguments and do what they say."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("what", choices=("prepare", "carry"))
    for name in ("server", "namespace", "name", "pod", "generation"):
        reader.add_argument(f"--{name}", required=True)
    reader.add_argument("--index", default="0")
    reader.add_argument("--starts-max", type=int, default=1)
    for name in ("job-dir", "run-dir", "inputs", "account"):
        reader.add_argument(f"--{name}", type=Path, required=True)
    asked = vars(reader.parse_args())
    what = asked.pop("what")
    # A pod that is no part of an array has no index: the word is empty then.
    place = Place(rank=int(asked.pop("index") or 0), **asked)
    return prepare(place, Api(place)) if what == "prepare" else Carrier(place, Api(place)).carry()


if __name__ == "__main__":
    sys.exit(main())
