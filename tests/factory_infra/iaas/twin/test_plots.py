"""Plots are PNG files, one a picture."""

from pathlib import Path

import pytest

from factory_infra.errors import StorageFull
from factory_infra.iaas.twin.engine import compare
from factory_infra.iaas.twin.plots import plot
from tests.factory_infra.iaas.twin.making import HOUR, job, scenario


def test_plots_are_drawn(tmp_path: Path) -> None:
    found = compare([scenario(job("a", 0, HOUR), job("b", 0, HOUR)), scenario(job("a", 0, HOUR), name="other")], [1])
    made = plot(found, tmp_path / "plots")
    assert [file.name for file in made] == ["occupancy.png", "waiting.png", "queue-times.png", "cost.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 5000 for file in made)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFull):
        plot(compare([scenario(job("a"))], [1]), tmp_path / "file" / "plots")
