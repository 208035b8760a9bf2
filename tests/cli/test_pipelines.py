"""`lineshaft pipelines` and `lineshaft datasets`: what is sent, and how answers are shown."""

import base64
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import datasets, pipeline_triggers, pipelines
from factory_infra.errors import InvalidInput
from tests.cli.control import Answers

RUN = {"id": "pr-1", "state": "done", "reason": "", "remedy": "", "card": {}, "steps": [{"step": "a", "state": "cached", "reason": ""}]}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """An API that answers from a table."""
    made = Answers({})
    for module in (pipelines, pipeline_triggers, datasets):
        monkeypatch.setattr(module, "client_of", lambda _: made)
    return made


def test_programs_go_with_their_pipeline(api: Answers, tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text("print(1)\n")
    file = tmp_path / "p.yaml"
    file.write_text("pipeline: p\nsteps:\n  - id: a\n    argv: [python3, a.py]\n    files: {a.py: {path: prep.py}}\n")
    api.answers = {"/v1/pipelines?tenant=vision": {"name": "p", "version": 1, "tenant": "vision"}}
    done = CliRunner().invoke(pipelines.app, ["apply", str(file), "--team", "vision"])
    assert done.exit_code == 0, done.output
    assert api.asked == [
        ("POST", "/v1/pipelines?tenant=vision", {"text": file.read_text(), "file": "p.yaml", "files": {"prep.py": "print(1)\n"}})
    ]


def test_a_program_outside_of_the_folder_is_not_sent(api: Answers, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("pipeline: p\nsteps:\n  - id: a\n    files: {a.py: {path: ../../etc/passwd}}\n")
    done = CliRunner().invoke(pipelines.app, ["check", str(file)])
    assert isinstance(done.exception, InvalidInput)
    assert "outside" in done.exception.reason


def test_parameters_are_what_they_look_like_and_the_end_is_the_exit_code(api: Answers) -> None:
    api.answers = {"/v1/pipelines/p/runs": {"id": "pr-1"}, "/v1/pipeline-runs/pr-1": RUN}
    words = ["run", "p", "--set", "least=0.5", "--set", "on=true", "--set", "name=a=b", "--key", "k"]
    done = CliRunner().invoke(pipelines.app, words)
    assert done.exit_code == 0, done.output
    assert "a: cached" in done.output
    assert api.asked[0][2] == {"parameters": {"least": 0.5, "on": True, "name": "a=b"}, "key": "k", "cache": True}
    api.answers["/v1/pipeline-runs/pr-1"] = {**RUN, "state": "failed", "remedy": "Mend it."}
    assert CliRunner().invoke(pipelines.app, words).exit_code == 1


def test_a_run_that_asks_is_approved_by_the_digest_of_its_card(api: Answers) -> None:
    waiting = {**RUN, "state": "proposed", "card": {"digest": "d" * 64}}
    api.answers = {"/v1/pipelines/p/runs": {"id": "pr-1"}, "/v1/pipeline-runs/pr-1": waiting, "/v1/pipeline-runs/pr-1/approve": {}}
    done = CliRunner().invoke(pipelines.app, ["run", "p", "--yes", "--no-wait"])
    assert done.exit_code == 0, done.output
    assert api.asked[-1] == ("POST", "/v1/pipeline-runs/pr-1/approve", {"digest": "d" * 64})


def test_a_trigger_is_of_one_kind(api: Answers) -> None:
    assert CliRunner().invoke(pipelines.app, ["trigger", "p", "t", "--push", "--data", "d"]).exit_code == 2
    api.answers = {"/v1/pipelines/p/triggers": {"name": "t", "kind": "push", "address": "http://x", "secret": "whs_1"}}
    done = CliRunner().invoke(pipelines.app, ["trigger", "p", "t", "--push", "--branch", "main"])
    assert "whs_1" in done.output


def test_a_large_file_is_sent_in_parts(api: Answers, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"a\n" + b"1\n" * 400_000)

    class Any(dict[str, object]):
        """Answers everything."""

        def __missing__(self, key: str) -> object:
            return {"name": "rows", "version": 1, "rows": 400_000, "digest": "d"}

    api.answers = Any()
    done = CliRunner().invoke(datasets.app, ["add", "rows", str(file)])
    assert done.exit_code == 0, done.output
    sent = b"".join(base64.b64decode(str(body["content"])) for method, _, body in api.asked if method == "PUT")
    assert sent == file.read_bytes()
    assert api.asked[-1][2]["parts"] == 2
