"""Runs side by side, and a team's own only; what a program ran on."""

from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput, NotFound, Unavailable
from factory_infra.paas.training.capture import environment_tags, source
from factory_infra.paas.training.runs import RunLine, TrainingRuns, compared
from factory_infra.paas.training.tracking import Tracking
from factory_infra.second_wall import seen_by


def line(name: str, accuracy: float | None, **parameters: str) -> RunLine:
    """A run."""
    return RunLine(
        run_id=name,
        experiment="reader",
        name=name,
        status="FINISHED",
        metrics={"accuracy": accuracy} if accuracy is not None else {},
        parameters=parameters,
        tags={},
        environment={"python": "3.11"},
    )


class TestCompared:
    def test_what_differs_comes_first_and_the_highest_is_named(self) -> None:
        found = compared([line("a", 0.5, C="1", kernel="rbf"), line("b", 0.75, C="2", kernel="rbf"), line("c", None, C="1")])
        assert [(row.name, row.differs) for row in found.parameters] == [("C", True), ("kernel", True)]
        assert found.metrics[0].values == [0.5, 0.75, None] and found.metrics[0].best == "b"
        assert [row.differs for row in found.environment] == [False]


class TestCapture:
    def test_it_names_interpreter_packages_and_machine(self) -> None:
        tags = environment_tags()
        assert {"lineshaft.env.python", "lineshaft.env.packages_digest", "lineshaft.env.cores", "lineshaft.env.package.numpy"} <= set(tags)
        assert environment_tags() == tags and all(len(value) <= 5000 for value in tags.values())

    def test_the_commit_is_read_from_a_checkout_in_either_form(self, tmp_path: Path) -> None:
        commit, folder = "c" * 40, tmp_path / ".git"
        (folder / "refs" / "heads").mkdir(parents=True)
        (folder / "HEAD").write_text("ref: refs/heads/main\n")
        (folder / "packed-refs").write_text(f"# pack-refs\n{commit} refs/heads/main\n")
        assert source(tmp_path) == {"branch": "main", "commit": commit}
        (folder / "refs" / "heads" / "main").write_text("d" * 40 + "\n")
        assert source(tmp_path)["commit"] == "d" * 40
        (folder / "HEAD").write_text(commit)
        assert source(tmp_path) == {"commit": commit}
        assert source(tmp_path / "elsewhere") == {}


class TestSecondWall:
    async def test_behind_a_door_that_forgot_to_ask_another_teams_runs_are_not_there(self) -> None:
        reader = TrainingRuns(Tracking("http://127.0.0.1:9"))
        with seen_by("vision"):
            assert await reader.list("language") == []
            with pytest.raises(NotFound):
                await reader.get("language", "a" * 32)
        with seen_by("language"), pytest.raises(Unavailable):
            await reader.list("language")
        await reader.close()


@pytest.mark.stack
class TestRuns:
    async def test_a_team_lists_and_compares_its_own_runs_and_no_others(self, runs: list[str], mlflow_url: str) -> None:
        reader = TrainingRuns(Tracking(mlflow_url))
        found = await reader.list("vision", experiment="taster")
        assert {each.run_id for each in found} == set(runs) and all(each.experiment == "taster" for each in found)
        assert len(await reader.list("vision", experiment="taster", limit=1)) == 1
        assert (await reader.list("vision", experiment="taster", limit=1, offset=1))[0].run_id == found[1].run_id
        comparison = await reader.compare("vision", runs)
        assert any(row.name == "algorithm" and row.differs for row in comparison.parameters)
        assert comparison.metrics and {"python", "cores"} <= set(found[0].environment)
        # A name with a wildcard's sign finds no other team's, and another team finds none.
        assert await reader.list("visio_") == [] and await reader.list("language") == []
        for call in (
            reader.get("language", runs[0]),
            reader.compare("language", runs),
            reader.get("vision", "0" * 32),
            reader.get("vision", "x"),
        ):
            with pytest.raises(NotFound):
                await call
        await reader.close()

    async def test_words_that_would_change_the_question_are_refused(self, mlflow_url: str) -> None:
        reader = TrainingRuns(Tracking(mlflow_url))
        for call in (reader.list("vision", experiment="a' OR name != '"), reader.list("vision", study="x' OR tags.`y` = 'z")):
            with pytest.raises(InvalidInput):
                await call
        for few in ([], ["a" * 32], ["a" * 32, "a" * 32]):
            with pytest.raises(InvalidInput):
                await reader.compare("vision", few)
        await reader.close()
