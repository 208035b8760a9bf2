"""Pipelines through the doors of a whole stack: overhead a step, kills, cache, refusals, signed pushes, gates, cancelling.

`python -m benchmarks.control_plane.pipelines` starts a stack of its own. Nothing of it is simulated.
"""

import hashlib
import hmac
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
from pydantic import JsonValue
from rich.console import Console

from api.client import ApiClient
from cli.checks import Check, print_checks
from factory_infra.errors import LineshaftError
from tests.live import LiveStack, until

JsonObject = dict[str, JsonValue]
TEAM = "mill"
STEPS = 20
OVERHEAD_MS = 300.0
SECONDS_MAX = 300.0
OVER = {"done", "gated", "failed", "cancelled", "refused", "expired"}
ROWS = "name,formula\n" + "".join(f"row{number},{number}\n" for number in range(2500))
FORMULA = 'name,cell\nplain,1\nhostile,"=HYPERLINK(""http://x"")"\nnegative,-3\n'


class Mill:
    """A team on a stack."""

    def __init__(self, stack: LiveStack, client: ApiClient) -> None:
        self.stack = stack
        self.client = client

    def apply(self, text: str, *, trusted: bool = True) -> JsonObject:
        """Keep a pipeline, and have its runs wait for nobody."""
        made = self.client.post(f"/v1/pipelines?tenant={TEAM}", {"text": text, "file": "mill.yaml"})
        if trusted:
            word: JsonObject = {"digest": made["digest"], "days": 1}
            self.client.post(f"/v1/pipelines/{made['name']}/approve?tenant={TEAM}", word)
        return made

    def ask(self, name: str, **parameters: JsonValue) -> str:
        """Start a run."""
        body: JsonObject = {"parameters": parameters, "key": uuid.uuid4().hex}
        return str(self.client.post(f"/v1/pipelines/{name}/runs?tenant={TEAM}", body)["id"])

    def run(self, run_id: str) -> JsonObject:
        """How a run stands."""
        return self.client.get_object(f"/v1/pipeline-runs/{run_id}")

    def stands(self, run_id: str, *states: str) -> JsonObject:
        """Wait until it is in one of some states."""
        until(lambda: str(self.run(run_id)["state"]) in states, f"{run_id} is {' or '.join(sorted(states))}", SECONDS_MAX)
        return self.run(run_id)

    def ended(self, run_id: str) -> JsonObject:
        """Wait for its end."""
        return self.stands(run_id, *OVER)

    def steps(self, run: JsonObject) -> list[JsonObject]:
        """Its steps."""
        found = run["steps"]
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def states(self, run: JsonObject) -> list[str]:
        """The states of its steps."""
        return [str(step["state"]) for step in self.steps(run)]

    def jobs(self) -> int:
        """How many jobs the team has had."""
        return len(self.client.get_list("/v1/jobs", tenant=TEAM, limit=500))

    def held(self) -> int:
        """Leases that the team holds."""
        return len(self.client.get_list("/v1/leases", tenant=TEAM))


def seconds_of(row: JsonObject) -> float:
    """From its beginning to its end; nothing for what never began."""
    if not row["started_at"] or not row["ended_at"]:
        return 0.0
    began, ended = (datetime.fromisoformat(str(row[name])) for name in ("started_at", "ended_at"))
    return (ended - began).total_seconds()


def chain(name: str, count: int, argv: str = "[/bin/true, 'N']") -> str:
    """Steps one after another, each another program: else the second would be known from the first."""
    lines = [f"pipeline: {name}", "steps:"]
    for number in range(count):
        lines += [f"  - id: s{number}", f"    argv: {argv.replace('N', str(number))}", "    seconds: 120"]
        lines += [f"    after: [s{number - 1}]"] if number else []
    return "\n".join(lines) + "\n"


def refusal(act: Callable[[], object]) -> LineshaftError | None:
    """What an act is refused with."""
    try:
        act()
    except LineshaftError as error:
        return error
    return None


def overhead(mill: Mill) -> list[Check]:
    """No-op steps: all that a step costs, its lease, its process and its record included; then again, when all is known."""
    mill.apply(chain("warm", 1))
    mill.ended(mill.ask("warm"))  # the first lease of a worker loads the scheduler, once
    mill.apply(chain("noops", STEPS).replace("/bin/true", "/bin/echo"))
    first = mill.ended(mill.ask("noops"))
    each = seconds_of(first) / STEPS * 1000
    inside = sorted(seconds_of(step) * 1000 for step in mill.steps(first))[STEPS // 2]
    jobs = mill.jobs()
    again = mill.ended(mill.ask("noops"))
    known = seconds_of(again) / STEPS * 1000
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    told = f"{each:.0f} ms a step over {STEPS} ({inside:.0f} ms of it its job, median); {first['state']}; {load:.1f} wait for each core"
    same = f"{known:.0f} ms a step, {mill.jobs() - jobs} jobs, {mill.states(again).count('cached')} cached"
    return [
        Check("overhead of a no-op step", told, f"<= {OVERHEAD_MS:.0f} ms", each <= OVERHEAD_MS and first["state"] == "done"),
        Check("the same again", same, "no job, all cached", mill.jobs() == jobs and set(mill.states(again)) == {"cached"}),
    ]


def killed(mill: Mill) -> Check:
    """The worker is killed in the middle of a step, twice."""
    mill.apply(chain("killed", 6, "[/bin/sleep, '1.N']"))
    jobs, run_id, kills = mill.jobs(), mill.ask("killed"), 0
    for wanted in (1, 3):
        until(lambda wanted=wanted: mill.states(mill.run(run_id)).count("done") >= wanted, f"{wanted} steps are done", SECONDS_MAX)  # type: ignore[misc]
        mill.stack.kill("worker")
        kills += 1
    ended = mill.ended(run_id)
    ran = mill.jobs() - jobs
    told = f"{ended['state']}, {mill.states(ended).count('done')} of 6 done, {ran} jobs, {kills} kills, {mill.held()} leases left"
    return Check("worker killed in the middle", told, "done, 6 jobs, none left", ended["state"] == "done" and ran == 6 and not mill.held())


def refused(mill: Mill) -> list[Check]:
    """Files that cannot be, and bytes that changed."""
    ring = "pipeline: ring\nsteps:\n  - id: a\n    after: [c]\n    argv: [/bin/true]\n  - id: b\n    after: [a]\n    argv: [/bin/true]\n"
    ring += "  - id: c\n    after: [b]\n    argv: [/bin/true]\n"
    cyclic, stranger = refusal(lambda: mill.apply(ring)), refusal(lambda: mill.apply(ring.replace("[c]", "[z]")))
    mill.client.post(f"/v1/datasets/rows/versions?tenant={TEAM}", {"text": ROWS})
    mill.apply("pipeline: reads\nsteps:\n  - id: data\n    kind: data\n    dataset: rows@1\n")
    kept = mill.client.get_object("/v1/datasets/rows/versions/1", tenant=TEAM)
    file = mill.stack.settings.home / "datasets" / str(kept["file"])
    file.chmod(0o600)
    file.write_text(ROWS.replace("row1500,1500", "row1500,9999"))
    ended = mill.ended(mill.ask("reads"))
    told = f"{ended['state']} {ended['code']}: {ended['reason']}"
    named = "mill.yaml, line" in told and "between line 1001 and line 2000" in told and bool(ended["remedy"])
    mill.client.post(f"/v1/datasets/cells/versions?tenant={TEAM}", {"text": FORMULA})
    export = mill.client.get_text("/v1/datasets/cells/versions/1/export.csv", tenant=TEAM)
    return [
        of_refusal("cyclic pipeline", cyclic, "pipeline_cyclic", "line 3"),
        of_refusal("unknown step", stranger, "step_unknown", "line 4"),
        Check("bytes changed under a version", told[:200], "dataset_changed, with file, line, remedy", named),
        Check(
            "CSV with a formula", repr(export.splitlines()[2]), "told as text, numbers as they are", "'=HYPER" in export and ",-3" in export
        ),
    ]


def of_refusal(name: str, error: LineshaftError | None, code: str, line: str) -> Check:
    """A row: the code, the file, the line, a remedy."""
    told = "nothing was refused" if error is None else f"{error.error_code}: {error.reason} {error.remedy}"
    held = error is not None and error.error_code == code and f"mill.yaml, {line}" in error.reason and bool(error.remedy)
    return Check(name, told[:200], f"{code} in {line}, with a remedy", held)


def pushed(mill: Mill) -> Check:
    """A signed push, and everything that must start nothing."""
    mill.apply("pipeline: pushed\nparameters: {commit: '0000000'}\nsteps:\n  - id: s\n    argv: [/bin/echo, '${commit}']\n")
    body: JsonObject = {"name": "main", "kind": "push", "branch": "main", "overlap": "allow"}
    made = mill.client.post(f"/v1/pipelines/pushed/triggers?tenant={TEAM}", body)
    secret, url = str(made["secret"]), f"{mill.client.url}/v1/hooks/{made['id']}"

    def send(payload: JsonObject, *, key: str = secret, altered: bool = False) -> tuple[int, str]:
        raw = json.dumps(payload).encode()
        sign = hmac.new(key.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"x-hub-signature-256": f"sha256={sign}", "x-github-event": "push", "x-github-delivery": uuid.uuid4().hex}
        answer = httpx.post(url, content=raw + b" " if altered else raw, headers=headers, trust_env=False)
        return answer.status_code, str(answer.json().get("run_id", ""))

    push: JsonObject = {"ref": "refs/heads/main", "after": "a" * 40, "repository": {"full_name": "acme/mill"}}
    good = send(push)
    found = [
        ("again under another delivery", send(push) == good),
        ("another key", send({**push, "after": "b" * 40}, key="whs_wrong")[0] == 401),
        ("altered", send({**push, "after": "c" * 40}, altered=True)[0] == 401),
        ("another branch", send({**push, "ref": "refs/heads/other"}) == (202, "")),
        ("no signature", httpx.post(url, content=b"{}", trust_env=False).status_code == 401),
        ("unknown trigger", httpx.post(f"{url}x", content=b"{}", trust_env=False).status_code == 401),
    ]
    ended = mill.ended(good[1])
    runs = mill.client.get_list("/v1/pipeline-runs", tenant=TEAM, pipeline="pushed")
    right = ended["state"] == "done" and ended["parameters"] == {"commit": "a" * 40} and len(runs) == 1
    wrong = [name for name, held in found if not held]
    told = f"{len(runs)} run of {len(found) + 1} deliveries, {ended['state']}" + (f"; wrong: {', '.join(wrong)}" if wrong else "")
    return Check("signed push, replayed, forged", told, "1 run; the others start nothing", right and not wrong)


def gated(mill: Mill) -> Check:
    """A gate that asks people: nothing is held meanwhile, and only exactly what was found can be approved."""
    text = chain("gated", 1) + "  - id: ask\n    kind: gate\n    after: [s0]\n    approval: {approvals: 1}\n"
    mill.apply(text + "  - id: later\n    after: [ask]\n    argv: [/bin/true]\n")
    run = mill.stands(mill.ask("gated"), "waiting")
    held = mill.held()
    address = f"/v1/pipeline-runs/{run['id']}/approve"
    other = refusal(lambda: mill.client.post(address, {"digest": "0" * 64}))
    card = next(step["card"] for step in mill.steps(run) if step["state"] == "asking")
    digest = str(card["digest"]) if isinstance(card, dict) else ""
    mill.client.post(address, {"digest": digest})
    ended = mill.ended(str(run["id"]))
    twice = refusal(lambda: mill.client.post(address, {"digest": digest}))
    codes = [error.error_code if error else "accepted" for error in (other, twice)]
    told = f"{ended['state']}; {held} leases held while it waited; another digest: {codes[0]}; once more: {codes[1]}"
    right = ended["state"] == "done" and not held and codes == ["digest_mismatch", "conflict"]
    return Check("approval at a gate", told, "done, 0 held, both refused", right)


def cancelled(mill: Mill) -> Check:
    """A run is ended in the middle of a job."""
    mill.apply(chain("long", 2, "[/bin/sleep, '600']"))
    run_id = mill.ask("long")
    until(lambda: running(mill, run_id), "its job runs", SECONDS_MAX)
    began = time.monotonic()
    mill.client.post(f"/v1/pipeline-runs/{run_id}/cancel", {"reason": "Enough."})
    ended = mill.ended(run_id)
    told = f"{ended['state']} in {time.monotonic() - began:.1f} s, steps {', '.join(mill.states(ended))}, {mill.held()} leases left"
    return Check("cancel", told, "cancelled, skipped, none left", mill.states(ended) == ["cancelled", "skipped"] and not mill.held())


WHOLE = """pipeline: whole
parameters: {least: 0.8}
steps:
  - {id: data, kind: data, dataset: plants}
  - id: checked
    kind: validate
    rows: data/rows.csv
    columns: {width: {kind: number, min: 0}, length: {kind: number}, species: {one_of: [a, b, c]}}
  - id: features
    argv: [/bin/sh, -c, "cut -d, -f1,2,3 rows.csv > features.csv"]
    inputs: {rows.csv: checked/rows.csv}
    outputs: [features.csv]
  - {id: train, kind: train, model_name: plants, rows: features/features.csv, label: species, algorithm: logistic_regression}
  - {id: register, kind: register, model_name: plants, run_id: {from: train, field: run_id}}
  - {id: good, kind: gate, value: {from: train, field: accuracy}, above: "${least}", after: [register]}
  - {id: live, kind: deploy, endpoint: plants, model_name: plants, version: {from: register, field: version}, after: [good]}
"""


def plants() -> str:
    """Rows of three kinds that a line tells apart."""
    rows = [(kind, number % 10 / 10 + at * 3, number % 7 / 7 + at) for at, kind in enumerate("abc") for number in range(40)]
    return "width,length,species\n" + "".join(f"{width:.2f},{length:.2f},{kind}\n" for kind, width, length in rows)


def whole(mill: Mill) -> list[Check]:
    """From data to an endpoint that answers; then again, and then with a gate that does not hold."""
    mill.client.post(f"/v1/datasets/plants/versions?tenant={TEAM}", {"text": plants()})
    mill.apply(WHOLE)
    first = mill.ended(mill.ask("whole"))
    answer = (
        mill.client.post(f"/v1/endpoints/{TEAM}/plants/predict", {"rows": [[0.4, 0.5], [6.4, 2.5]]}) if first["state"] == "done" else {}
    )
    told = f"{first['state']} {first['reason']} in {seconds_of(first):.1f} s; it answers {answer.get('labels')}"
    again = mill.states(mill.ended(mill.ask("whole")))
    gated = mill.ended(mill.ask("whole", least=1.0))
    stopped = f"{gated['state']}: {', '.join(mill.states(gated))}"
    return [
        Check("data, validate, features, train, register, gate, deploy", told, "done, [a, c]", answer.get("labels") == ["a", "c"]),
        Check("the same again", ", ".join(again), "three known", again.count("cached") == 3),
        Check("a gate that does not hold", stopped, "gated, the last skipped", gated["state"] == "gated" and stopped.endswith("skipped")),
    ]


def running(mill: Mill, run_id: str) -> bool:
    """Whether a job of the run's first step runs."""
    name = mill.steps(mill.run(run_id))[0]["job_id"]
    return bool(name) and any(job["id"] == name and job["state"] == "running" for job in mill.client.get_list("/v1/jobs", tenant=TEAM))


def measured(mill: Mill) -> list[Check]:
    """All of them."""
    mill.client.post("/v1/tenants", {"name": TEAM, "quota_slots": 2, "budget": "50"})
    found = [*overhead(mill), *whole(mill), killed(mill), *refused(mill), pushed(mill), gated(mill), cancelled(mill)]
    books = mill.client.get_object("/v1/books")
    equal = not any(books.values())
    return [*found, Check("books afterwards", "equal" if equal else json.dumps(books)[:200], "sums equal entries", equal)]


def checks() -> list[Check]:
    """All of them, on a stack of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        stack = LiveStack(Path(folder) / "home")
        stack.start()
        try:
            with stack.client() as client:
                return measured(Mill(stack, client))
        finally:
            stack.stop()


def main() -> int:
    """Run them by themselves."""
    found = checks()
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
