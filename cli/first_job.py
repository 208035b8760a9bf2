"""The first job, played through the API as a user would: train, gate, deploy, ask, pay."""

import csv
import gzip
import importlib.util
from decimal import Decimal
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from api.client import ApiClient, ApiRefusal
from api.conversation import Conversation, Turn
from cli.cards import print_event
from cli.checks import Check
from factory_infra.errors import Unavailable

TEAM = "vision"
QUOTA_SLOTS = 4
WORDS = {1: "one slot", 2: "two slots"}
THRESHOLD = 0.95
QUESTION = "Which model reads digits best, on what data was it trained, and what did it cost?"

JsonObject = dict[str, JsonValue]


def digit_rows(count: int) -> tuple[list[list[float]], list[str]]:
    """Rows of the digits that ship with scikit-learn, read as the file that they are; importing the library would take seconds."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise Unavailable("scikit-learn is not installed.", remedy="Run 'make setup'.")
    with gzip.open(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        rows = [[float(value) for value in row] for row, _ in zip(csv.reader(file), range(count), strict=False)]
    return [row[:-1] for row in rows], [str(int(row[-1])) for row in rows]


class FirstJob:
    """Plays the job and collects its checks.

    Args:
        client: the API as a user reaches it.
        console: where it is told.
        pool: where it is trained; the installation's first pool if empty.
    """

    def __init__(self, client: ApiClient, console: Console, pool: str = "") -> None:
        self._client = client
        self._console = console
        self._pool = pool
        self._plan_id = ""
        self.checks: list[Check] = []

    def play(self) -> None:
        """From the sentence to the price. Raises LineshaftError when a door refuses."""
        self._have_team()
        conversation = Conversation(self._client, TEAM, watch=lambda event: print_event(self._console, event))
        if self._train(conversation):
            self._call_endpoint()
            self._ask(conversation)
            self._settle(conversation)

    def _check(self, name: str, figure: object, goal: str, held: bool) -> None:
        self.checks.append(Check(name, str(figure), goal, held))

    def _have_team(self) -> None:
        body: JsonObject = {"name": TEAM, "quota_slots": QUOTA_SLOTS, "budget": "20"}
        try:
            self._client.post("/v1/tenants", body)
            self._console.print(f"team {TEAM}: quota {QUOTA_SLOTS} slots, budget 20")
        except ApiRefusal as refusal:
            if refusal.error_code != "conflict":
                raise

    def _say(self, conversation: Conversation, text: str) -> Turn:
        self._console.print(f"\n[bold cyan]you>[/bold cyan] {text}")
        return conversation.say(text)

    def _train(self, conversation: Conversation) -> bool:
        words = WORDS[min(max(self._slots_there(), 1), 2)]
        if self._pool:
            words = f"{words} of pool {self._pool}"
        turn = self._say(conversation, f"Train a digit classifier for team {TEAM} on {words} and put it live if it beats 95 percent.")
        self._check("a plan is proposed", turn.plan.title if turn.plan else "none", "one, typed and priced", turn.plan is not None)
        if turn.plan is None:
            return False
        undo = sum(1 for step in turn.plan.steps if step.undo)
        self._check(
            "steps with an undo, and a price",
            f"{undo} of {len(turn.plan.steps)}, {turn.plan.price.high:.4f}",
            "> 0",
            undo > 0 < turn.plan.price.high,
        )
        self._plan_id = turn.plan.id
        self._console.print("  the first job approves its own plan, by the same route as a person would")
        conversation.approve(turn)
        end = conversation.until_ended(turn.plan.id)
        self._check("the plan ends", end["state"], "done", end["state"] == "done")
        results = end["results"] if isinstance(end["results"], dict) else {}
        return self._check_results({key: value for key, value in results.items() if isinstance(value, dict)}, end["state"] == "done")

    def _slots_there(self) -> int:
        """How many slots the pool has. Raises Unavailable where it does not answer."""
        pools = self._client.get_list("/v1/pools")
        pool = next((each for each in pools if each["name"] == self._pool or (not self._pool and each["default"])), None)
        if pool is None or not pool["reachable"]:
            told = pool["note"] if pool else f"Pools: {', '.join(str(each['name']) for each in pools)}."
            raise Unavailable(f"Pool '{self._pool}' does not answer.", remedy=str(told))
        return int(str(pool["slots_total"]))

    def _check_results(self, results: dict[str, JsonObject], done: bool) -> bool:
        trained = next((each for each in results.values() if "run_id" in each and "seconds" in each), {})
        gate = next((each for each in results.values() if "threshold" in each), {})
        smoke = next((each for each in results.values() if "agrees_with_training" in each), {})
        accuracy = trained.get("accuracy")
        self._check("accuracy on held-out digits", accuracy, f"> {THRESHOLD}", isinstance(accuracy, float) and accuracy > THRESHOLD)
        self._check("the gate compared with 95 %", f"{gate.get('value')} > {gate.get('threshold')}", "passed", gate.get("passed") is True)
        agrees = smoke.get("agrees_with_training") is True
        self._check("smoke test on held-out digits", f"{smoke.get('rows')} rows, {smoke.get('accuracy')}", "as in training", agrees)
        return done

    def _call_endpoint(self) -> None:
        endpoints = self._client.get_list("/v1/endpoints", tenant=TEAM)
        if not endpoints:
            self._check("an endpoint is live", 0, ">= 1", held=False)
            return
        name = str(endpoints[0]["name"])
        rows, labels = digit_rows(20)
        body: JsonObject = {"rows": [list(row) for row in rows]}
        told = self._client.post(f"/v1/endpoints/{TEAM}/{name}/predict", body)
        predicted = told["labels"] if isinstance(told["labels"], list) else []
        right = sum(1 for got, label in zip(predicted, labels, strict=False) if str(got) == label)
        self._check("the endpoint answers through the API", f"{right} of {len(labels)} digits right", ">= 18", right >= 18)
        self._check("without a key it refuses", self._refused_without_key(name), "401", self._refused_without_key(name) == 401)

    def _refused_without_key(self, name: str) -> int:
        with ApiClient(self._client.url, "ls_none") as stranger:
            try:
                stranger.post(f"/v1/endpoints/{TEAM}/{name}/predict", {"rows": [[0.0]]})
            except ApiRefusal as refusal:
                return refusal.status
        return 200

    def _ask(self, conversation: Conversation) -> None:
        turn = self._say(conversation, QUESTION)
        answers = turn.payloads("message.assistant")
        text = str(answers[-1]["text"]) if answers else ""
        facts = all(word in text for word in ("version", "trained on digits", "cost"))
        self._check("the question is answered", text.replace("\n", " ")[:80], "model, data, cost", facts)
        cited = answers[-1]["citations"] if answers else []
        citations = [each for each in cited if isinstance(each, dict)] if isinstance(cited, list) else []
        resolved = sum(1 for each in citations if self._resolves(str(each["url"])))
        self._check("its citations resolve", f"{resolved} of {len(citations)}", "all, >= 2", resolved == len(citations) >= 2)

    def _resolves(self, url: str) -> bool:
        try:
            return self._client.get(url) is not None
        except ApiRefusal:
            return False

    def _settle(self, conversation: Conversation) -> None:
        equal = self._client.get_object("/v1/reconciliation")
        strays = [each for name in ("leases_without_reservation", "reservations_without_lease") for each in _names(equal[name])]
        self._check("inventory equals ledger", f"{len(strays)} strays", "0", not strays)
        held = [lease for lease in self._client.get_list("/v1/leases", tenant=TEAM) if lease["plan_id"] == self._plan_id]
        self._check("the lease is released", f"{len(held)} held", "0", not held)
        cost = self._client.get_object("/v1/cost", tenant=TEAM, thread_id=conversation.thread_id)
        lines = [line for line in cost["lines"] if isinstance(line, dict)] if isinstance(cost["lines"], list) else []
        told = ", ".join(_quantity(line) for line in lines)
        spent = Decimal(str(cost["spent"]))
        self._check("the price of the run", f"{spent:.6f} {cost['currency']}: {told}", "> 0, slot-seconds and tokens", spent > 0)


def _quantity(line: JsonObject) -> str:
    amount = Decimal(str(line["quantity"])) + Decimal(str(line["quantity_out"]))
    return f"{amount:.1f} {str(line['unit']).replace('_', '-')} ({line['subject']})"


def _names(value: JsonValue) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
