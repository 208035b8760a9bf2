"""Whatever is said, every value of a draft comes from the words, the state or a default."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.planning.interface import Draft
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from tests.agents.planning.factory_facts import facts, say

PLAYBOOKS = {playbook.name: playbook for playbook in load_playbooks()}
PLANNER = PlaybookPlanner(list(PLAYBOOKS.values()))
STATE = facts()
KNOWN = {
    *(d.name for d in STATE.datasets),
    *(f"{d.name.replace('_', '-')}-classifier" for d in STATE.datasets),
    *(d.name.replace("_", "-") for d in STATE.datasets),
    "vision", "digits-classifier", "iris-classifier", "digits", "flowers-api", "lease-7f3a91", "job-ab12cd", 1, 2, 0.91, 0.97, 0.95,
    "auto", 3600, "logistic_regression", "svm", "mlp", "k_neighbors", "asked for in the chat", None, STATE.slots_free,
}  # fmt: skip

VERBS = [
    "train",
    "deploy",
    "put live",
    "retire",
    "roll back",
    "lease",
    "release",
    "cancel",
    "don't deploy",
    "which is best",
    "what did it cost",
    "trainiere",
]
NAMES = [
    "digits",
    "a wine classifier",
    "flowers-api",
    "digits-classifier",
    "version 1",
    "lease-7f3a91",
    "job-ab12cd",
    "iris",
    "cats",
    "for team robotics",
    "it",
]
GLUE = ["and", "if it beats", "on", "for", "not", ",", "then", "at least", "with", "or", "tomorrow", "please", "?", "wenn", "über"]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, list[int]]:
    numbers = draw(st.lists(st.integers(min_value=0, max_value=130), max_size=3))
    units = [f"{n}{draw(st.sampled_from([' slots', ' %', ' percent', '', ' hours', ' GPUs']))}" for n in numbers]
    words = draw(st.lists(st.sampled_from(VERBS + NAMES + GLUE), min_size=1, max_size=9))
    return " ".join(draw(st.permutations(words + units))), numbers


@settings(max_examples=150, deadline=None)
@given(requests())
def test_every_value_is_grounded(request: tuple[str, list[int]]) -> None:
    text, numbers = request
    outcome = asyncio.run(say(PLANNER, text, STATE))
    if not isinstance(outcome, Draft):
        return
    said = {round(n * f, 6) for n in numbers for f in (1, 0.01, 3600)} | {round(1 - n / 100, 6) for n in numbers}
    for name, value in outcome.slots.items():
        assert value in KNOWN or value in said or str(value) in text, f"{name}={value!r} from {text!r}"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_odd_text_never_breaks_it(text: str) -> None:
    asyncio.run(say(PLANNER, text, STATE))
