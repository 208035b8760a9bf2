"""`lineshaft chat`: what is approved, refused and left alone, and how a thread is gone on with."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import chat
from tests.api.test_conversation_turns import Thread


class Api(Thread):
    """The thread behind a client; a plan ends as soon as it is decided."""

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def post(self, path: str, body: dict[str, object] | None = None) -> dict[str, object]:  # type: ignore[override]
        """Take a message or a decision."""
        told = super().post(path, body)  # type: ignore[arg-type]
        if path.startswith("/v1/plans/"):
            name, decision = path.split("/")[3:]
            self.note("plan.ended", name, state="done" if decision == "approve" else "refused")
            self.note("message.assistant", name, text="That was it.")
        return dict(told)


def say(api: Api, monkeypatch: pytest.MonkeyPatch, *arguments: str, answer: str = "") -> tuple[int, str]:
    monkeypatch.setattr(chat, "client_of", lambda context: api)
    done = CliRunner().invoke(chat.app, list(arguments), input=answer)
    return done.exit_code, done.output


def test_yes_in_a_thread_with_an_old_plan_approves_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    api = Api("late card", "words", "late card")
    assert say(api, monkeypatch, "do", "it", answer="n\n")[0] == 0
    assert [path for path, _ in api.decided] == ["/v1/plans/plan-1/refuse"]
    code, output = say(api, monkeypatch, "--thread", "thread-1", "--yes", "which slots are free?")
    assert code == 0
    assert "answer 2" in output and "answer 1" not in output and "Approve" not in output
    assert len(api.decided) == 1
    assert say(api, monkeypatch, "--thread", "thread-1", "--yes", "do it again")[0] == 0
    assert [path for path, _ in api.decided][1:] == ["/v1/plans/plan-3/approve"]


def test_without_yes_only_the_plan_of_this_message_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api("early card", "words")
    say(api, monkeypatch, "do it")  # the input ends before an answer: the plan stays undecided
    assert api.decided == []
    code, output = say(api, monkeypatch, "--thread", "thread-1", "which slots are free?", answer="y\n")
    assert (code, "Approve" in output, api.decided) == (0, False, [])


@pytest.mark.parametrize(("answer", "code"), [("words", 0), ("refused", 1)])
def test_one_message_names_its_thread_at_the_end(monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    shown, output = say(Api(answer), monkeypatch, "hello")
    assert shown == code
    assert "--thread thread-1" in output.splitlines()[-1]
