"""Pipelines as code come to the same file that a person could write."""

import subprocess
import sys
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.pipelines.code import Pipeline
from factory_infra.paas.training.pipelines.reading import read
from factory_infra.paas.training.pipelines.spec import RunStep


def build() -> Pipeline:
    """A pipeline with a function for a step."""
    pipeline = Pipeline("petals", parameters={"factor": 2, "loud": True})
    data = pipeline.add("data", "data", dataset="flowers")

    @pipeline.step(inputs={"rows.csv": data["rows.csv"]}, outputs=["scaled.csv"])
    def scale(rows_csv: Path, scaled_csv: Path, factor: int = 2, loud: bool = False) -> dict[str, object]:
        scaled_csv.write_text(rows_csv.read_text() * factor)
        return {"factor": factor, "loud": loud}

    pipeline.add("enough", "gate", value=scale.field("factor"), above=1)
    return pipeline


def test_it_is_the_pipeline_that_its_file_is(tmp_path: Path) -> None:
    made = read(build().to_yaml(), "petals.yaml").spec
    assert made == build().definition().spec
    step = made.step("scale")
    assert isinstance(step, RunStep)
    assert step.argv == ("python3", "scale.py", "factor=2", "loud=true")
    (tmp_path / "scale.py").write_text(step.files["scale.py"])
    (tmp_path / "rows.csv").write_text("ab")
    subprocess.run([sys.executable, *step.argv[1:]], cwd=tmp_path, check=True)
    assert (tmp_path / "scaled.csv").read_text() == "abab"
    assert (tmp_path / "result.json").read_text() == '{"factor": 2, "loud": true}'


def test_an_argument_that_nothing_fills_is_refused() -> None:
    pipeline = Pipeline("x")

    def lonely(other: Path) -> None:
        other.touch()

    with pytest.raises(InvalidInput, match="Argument 'other'"):
        pipeline.step(outputs=["a.txt"])(lonely)
