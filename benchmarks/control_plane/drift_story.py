"""The drift story, end to end: shifted data, alert, retraining plan, approval, canary, promoted, with plots.

`python -m benchmarks.control_plane.drift_story [FOLDER]` starts a whole stack of its own, plays it through the API as a user would, and
writes three pictures and `story.json` into the folder. Nothing of it is simulated but the plants.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from api.client import ApiClient
from benchmarks.control_plane.drift_plots import plot
from benchmarks.control_plane.garden import FLOWERS, NAMES, Garden, accuracy, ago
from cli.checks import Check, print_checks
from factory_infra.errors import LineshaftError
from tests.live import LiveStack

JsonObject = dict[str, JsonValue]
TEAM, ENDPOINT, MODEL = "botany", "flowers", "flowers"
ASK_ROWS = 12
PAST_ROWS, SHIFTED_ROWS = 600, 400
WINDOW_SECONDS = 900
TRAIN_SECONDS = 300
SECONDS_MAX = 420.0
OUT = Path("build/drift-story")


@dataclass
class Story:
    """What happened, for the checks and the pictures. Moments are seconds from the beginning."""

    began: float = field(default_factory=time.time)
    marks: dict[str, float] = field(default_factory=dict)
    asked: list[tuple[float, int, float]] = field(default_factory=list)
    """Of each request: when, which version answered, and how much of it was right."""
    refused: int = 0
    report: JsonObject = field(default_factory=dict)
    alert: JsonObject = field(default_factory=dict)
    alerts: list[JsonObject] = field(default_factory=list)
    plan: JsonObject = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    samples: dict[str, list[list[float]]] = field(default_factory=dict)

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.time() - self.began

    def mark(self, name: str) -> None:
        """Note that something happened now."""
        self.marks.setdefault(name, self.now())

    def right(self, start: float, end: float) -> float:
        """The share of right answers in a span."""
        found = [share for moment, _, share in self.asked if start <= moment < end]
        return sum(found) / len(found) if found else 0.0


class Visitors:
    """People who ask the endpoint all the time about plants of now, and know afterwards what they were."""

    def __init__(self, stack: LiveStack, garden: Garden, story: Story) -> None:
        self._stack, self._garden, self._story = stack, garden, story
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Visitors":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _ask(self) -> None:
        with self._stack.client() as client:
            while not self._stop.wait(0.04):
                rows, true = self._garden.measured(ASK_ROWS)
                try:
                    told = client.post(f"/v1/endpoints/{TEAM}/{ENDPOINT}/predict", {"rows": [[*row] for row in rows]})
                except LineshaftError:
                    self._story.refused += 1
                    continue
                labels = told["labels"]
                said = [str(each) for each in labels] if isinstance(labels, list) else []
                self._story.asked.append((self._story.now(), int(str(told["version"])), accuracy(said, true)))


def until(holds: Callable[[], bool], what: str, seconds_max: float = SECONDS_MAX) -> None:
    """Wait for a condition, with a limit."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds_max:.0f} s: {what}"
        time.sleep(0.3)


def write(client: ApiClient, rows: tuple[list[JsonValue], list[JsonValue]], key: str) -> None:
    """Write measurements and names."""
    for view, some in zip(("flowers", "names"), rows, strict=True):
        client.post(f"/v1/features/views/{view}/rows?tenant={TEAM}", {"rows": some, "key": f"{key}/{view}"})


def approved(client: ApiClient, plan_id: str) -> None:
    """Approve exactly the plan that is there."""
    until(lambda: client.get_object(f"/v1/plans/{plan_id}")["state"] != "", "the plan is kept", 30)
    record = client.get_object(f"/v1/plans/{plan_id}")
    client.post(f"/v1/plans/{plan_id}/approve", {"digest": str(record["digest"])})


def ended(client: ApiClient, plan_id: str) -> JsonObject:
    """Wait for the end of a plan."""
    until(lambda: client.get_object(f"/v1/plans/{plan_id}")["state"] not in {"proposed", "approved", "running"}, f"{plan_id} ends")
    return client.get_object(f"/v1/plans/{plan_id}")


def first_model(client: ApiClient, garden: Garden) -> str:
    """The team as it was before: a past, a training set of it, a model, an endpoint. Returns the set."""
    client.post("/v1/tenants", {"name": TEAM, "quota_slots": 1, "budget": "50"})
    for view in (FLOWERS, NAMES):
        client.post(f"/v1/features/views?tenant={TEAM}", view)
    write(client, garden.rows(PAST_ROWS, ago(3 * 86_400), ago(86_400)), "past")
    spec: JsonObject = {"features": ["flowers"], "spine": {"view": "names"}, "label": "names:species"}
    made = client.post(f"/v1/features/training-sets?tenant={TEAM}", {"spec": spec, "key": "first"})
    steps = first_steps(f"set:{made['id']}")
    proposed = client.post("/v1/plans", {"title": "The first model", "tenant": TEAM, "steps": steps})
    approved(client, str(proposed["plan_id"]))
    record = ended(client, str(proposed["plan_id"]))
    assert record["state"] == "done", record["outcome"]
    return str(made["id"])


def first_steps(dataset: str) -> list[JsonValue]:
    """Train on a set and put it live."""

    def of(step: str, name: str) -> JsonObject:
        return {"from_step": step, "field": name}

    lease: JsonObject = {"slots": 1, "purpose": "the first model", "seconds": 600}
    train: JsonObject = {"dataset": dataset, "model_name": MODEL, "lease_id": of("lease", "lease_id"), "algorithm": "logistic_regression"}
    deploy: JsonObject = {"endpoint": ENDPOINT, "model_name": MODEL, "version": of("register", "version")}
    return [
        {"id": "lease", "tool": "leases.acquire", "arguments": lease},
        {"id": "train", "tool": "training.run", "arguments": train, "after": ["lease"]},
        {"id": "release", "tool": "leases.release", "arguments": {"lease_id": of("lease", "lease_id")}, "after": ["train"], "always": True},
        {
            "id": "register",
            "tool": "registry.register",
            "arguments": {"model_name": MODEL, "run_id": of("train", "run_id")},
            "after": ["train"],
        },
        {"id": "deploy", "tool": "deployments.deploy", "arguments": deploy, "after": ["register"]},
    ]


def monitor(set_id: str) -> JsonObject:
    """What is watched, and what is to follow."""
    retraining: JsonObject = {
        "model_name": MODEL,
        "endpoint": ENDPOINT,
        "features": ["flowers"],
        "label": "names:species",
        "train_seconds": TRAIN_SECONDS,
        "accuracy_min": 0.9,
        "algorithm": "logistic_regression",
        "lease_seconds": 600,
        "shares": [0.05, 0.25, 0.6],
        "step_seconds": 4,
        "requests_min": 5,
    }
    spec: JsonObject = {
        "name": "garden",
        "view": "flowers",
        "past": {"set_id": set_id},
        "window_seconds": WINDOW_SECONDS,
        "every_seconds": 10,
        "retraining": retraining,
    }
    return {"spec": spec}


def told(client: ApiClient, what: str, **query: JsonValue) -> list[JsonObject]:
    """A list of the team's."""
    return client.get_list(f"/v1/features/{what}", tenant=TEAM, **query)


def verdict(client: ApiClient) -> str:
    """What the last check said."""
    return str(client.get_object("/v1/features/monitors/garden", tenant=TEAM)["verdict"])


def play(stack: LiveStack, story: Story) -> None:
    """The story itself."""
    garden, outside = Garden(), Garden(12)  # the visitors' plants are their own: a generator serves one thread
    with stack.client() as client:
        set_id = first_model(client, garden)
        story.samples["before"] = Garden(1).measured(400)[0]
        write(client, garden.rows(200, ago(600), ago(400)), "usual")
        with Visitors(stack, outside, story):
            story.mark("watched")
            client.put(f"/v1/features/monitors/garden?tenant={TEAM}", monitor(set_id))
            until(lambda: verdict(client) == "stable", "a first check that finds nothing", 120)
            story.mark("stable")
            until(lambda: len(story.asked) > 50, "requests before the shift", 60)
            outside.exchanged = True
            shift(client, garden, story)
            answered(client, garden, story)


def shift(client: ApiClient, garden: Garden, story: Story) -> None:
    """The instrument is exchanged; what it measures is written as it comes."""
    garden.exchanged = True
    story.mark("shifted")
    changed = Garden(2)
    changed.exchanged = True
    story.samples["after"] = changed.measured(400)[0]
    write(client, garden.rows(SHIFTED_ROWS, ago(45), ago(1)), "shifted")


def answered(client: ApiClient, garden: Garden, story: Story) -> None:
    """The schedule finds it, a plan is proposed, a person approves it, and the new version takes over."""
    until(lambda: any(each["plan_id"] for each in told(client, "alerts")), "an alert with a plan", 180)
    story.mark("alert")
    [story.alert] = told(client, "alerts")
    story.report = dict(client.get_list("/v1/features/monitors/garden/checks", tenant=TEAM, limit=1)[0])
    plan_id = str(story.alert["plan_id"])
    approved(client, plan_id)
    story.mark("approved")
    rollouts = f"/v1/rollouts?tenant={TEAM}"
    until(lambda: bool(client.get_list(rollouts)) or ended_early(client, plan_id), "a canary")
    story.mark("canary")
    story.plan = ended(client, plan_id)
    story.mark("promoted")
    until(lambda: story.now() > story.marks["promoted"] + 5, "requests after it", 60)
    write(client, garden.rows(200, ago(5), ago(1)), "afterwards")
    until(lambda: verdict(client) == "stable", "a check that finds the new model's world as it learnt it", 120)
    story.mark("calm")
    thread = str(story.plan["thread_id"])
    story.events = [str(each["kind"]) for each in client.get_list(f"/v1/threads/{thread}/events")]
    story.alerts = told(client, "alerts", every=True)


def ended_early(client: ApiClient, plan_id: str) -> bool:
    """Whether the plan ended before it came to a canary."""
    return client.get_object(f"/v1/plans/{plan_id}")["state"] not in {"approved", "running", "proposed"}


def checks_of(story: Story, pictures: list[Path]) -> list[Check]:
    """What the story promises."""
    marks = story.marks
    before = story.right(0, marks["shifted"])
    during = story.right(marks["shifted"] + 1, marks["canary"])
    after = story.right(marks["promoted"], float("inf"))
    versions = {version for moment, version, _ in story.asked if moment >= marks["promoted"] + 4}
    both = {version for moment, version, _ in story.asked if marks["canary"] <= moment <= marks["promoted"]}
    seconds = marks["promoted"] - marks["shifted"]
    waited = marks["alert"] - marks["shifted"]
    found = story.report["report"]
    since = [str(each["since"]) for each in features_of(found) if each["since"]]
    one = len(story.alerts) == 1 and bool(story.alerts[0]["closed_at"])
    order = [kind for kind in story.events if kind in {"drift.found", "plan.proposed", "plan.approved", "plan.ended"}]
    return [
        Check("drift: shift to alert with a plan, by the schedule", f"{waited:.0f} s", "<= 60 s (monitor every 10 s)", waited <= 60),
        Check("what was found", str(found["reason"]) if isinstance(found, dict) else "", "all four features", len(features_of(found)) == 4),
        Check("since when, by the stream", ", ".join(sorted(set(since))), "told", bool(since)),
        Check(
            "what its thread tells",
            " → ".join(order),
            "found → proposed → approved → ended",
            order == ["drift.found", "plan.proposed", "plan.approved", "plan.ended"],
        ),
        Check("the plan's end", str(story.plan["state"]), "done", story.plan["state"] == "done"),
        Check("during the canary both versions answer", str(sorted(both)), "[1, 2]", both == {1, 2}),
        Check("after it the new one alone", str(sorted(versions)), "[2]", versions == {2}),
        Check(
            "right answers before, during, after", f"{before:.1%}, {during:.1%}, {after:.1%}", "falls, then as before", during < 0.8 < after
        ),
        Check("requests, of which failed", f"{len(story.asked)}, {story.refused}", "none failed", story.refused == 0),
        Check("alerts, and what closed them", "; ".join(str(each["closed_because"]) for each in story.alerts), "one, the new model", one),
        Check("the next check, of the new model's world", "stable", "stable", "calm" in marks),
        Check("from the shift to a new model", f"{seconds:.0f} s", "told", held=True),
        Check("pictures", ", ".join(each.name for each in pictures), "3", len(pictures) == 3),
    ]


def features_of(report: JsonValue) -> list[JsonObject]:
    """The features of a report that drifted."""
    found = report.get("features") if isinstance(report, dict) else None
    return [each for each in found if isinstance(each, dict) and each["drifted"]] if isinstance(found, list) else []


def checks(folder: Path = OUT) -> list[Check]:
    """Play it on a stack of its own."""
    story = Story()
    with tempfile.TemporaryDirectory(prefix="lineshaft-drift-") as home:
        stack = LiveStack(Path(home) / "home")
        stack.start()
        try:
            play(stack, story)
        finally:
            stack.stop()
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"marks": story.marks, "report": story.report, "alerts": story.alerts, "events": story.events, "asked": story.asked}
    (folder / "story.json").write_text(json.dumps(kept, indent=1, default=str), encoding="utf-8")
    return checks_of(story, plot(story.samples, story.asked, story.marks, folder))


if __name__ == "__main__":
    found = checks(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
    print_checks(Console(width=170, highlight=False), found)
    sys.exit(0 if all(check.held for check in found) else 1)
