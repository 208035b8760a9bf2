"""Words for what needs no plan: greetings, help, nothing understood."""

from agents.planning.interface import Facts, Outcome, Pending, Question, Reply
from agents.planning.mentions import Understood
from agents.planning.playbook import Playbook

_CAN = (
    "train a model, put it live behind a gate, roll an endpoint back or retire it, lease and release slots, cancel a job, "
    "and answer what is there, what is best and what it cost"
)
NOTHING_WAITS = "Nothing is waiting for a yes here."


def examples(facts: Facts) -> list[str]:
    """Requests that work here, with names that exist."""
    dataset = facts.datasets[0].name if facts.datasets else "digits"
    team = facts.home_team or (facts.teams[0].name if facts.teams else "vision")
    return [
        f"Train a {dataset} classifier for team {team} and put it live if it beats 95 %",
        f"Which model is best on {dataset}, and what did it cost?",
        f"What is live for team {team}?",
    ]


def small_talk(kind: str, playbooks: list[Playbook], facts: Facts) -> Outcome:
    """An answer to a greeting, a thank-you, a cry for help, or nothing at all."""
    offer = f"I can {_CAN}. For example: “{examples(facts)[0]}”."
    texts = {
        "greeting": f"Hello. {offer}",
        "thanks": "You are welcome.",
        "help": f"{offer} There are {len(playbooks)} playbooks.",
        "never_mind": "Very well: nothing is done.",
        "yes": NOTHING_WAITS,
        "no": "Very well: nothing is done.",
        "nothing": f"The message has no words. {offer}",
    }
    return Reply(text=texts[kind])


def not_understood(playbooks: list[Playbook], facts: Facts) -> Outcome:
    """One question back, with requests that work."""
    return Question(text=f"I did not find a task in that. I can {_CAN}.", options=examples(facts))


def nothing_done(understood: Understood) -> Outcome:
    """Everything that was named was forbidden."""
    named = ", ".join(dict.fromkeys(action.text for action in understood.actions if action.negated))
    return Reply(text=f"Very well: nothing is done (you said not to {named}).")


def too_long(understood: Understood) -> Outcome:
    """A text in which a task could hide: asked for again, short."""
    return Question(text=f"That is {len(understood.text)} characters long. Please say in a sentence or two what should be done.")


def unclear(playbook: Playbook, pending: Pending) -> Outcome:
    """A message that changes nothing of what is open."""
    asked = playbook.slots.get(pending.asked or "")
    decide = ", or decide on the card" if pending.plan_id else ""
    text = asked.question if asked and asked.question else f"I did not find a change in that. Say what should be different{decide}."
    return Question(text=text, pending=pending)


def nothing_there(kind: str) -> str:
    """What to do where there is none of a kind."""
    return {
        "endpoint": "Ask what is live, or put a model live first.",
        "lease": "Ask which leases are active.",
        "job": "Ask which jobs run.",
        "model": "Train a model first.",
    }[kind]
