"""A team that is closed: its values and files go, another team's stay, and twice is no error."""

from pathlib import Path

import pytest

from factory_infra.errors import NotFound
from factory_infra.paas.features.models import StoredView
from factory_infra.paas.features.offline import OfflineFiles
from factory_infra.paas.features.service import Features
from factory_infra.paas.features.training_sets import TrainingSets
from tests.factory_infra.paas.features.conftest import CUSTOMERS, NOW, row

pytestmark = pytest.mark.stack


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


async def written(features: Features, tmp_path: Path) -> StoredView:
    """Two teams' rows, and beside them what else lies about of the first."""
    for team in ("vision", "vision-2"):
        view = await features.define(team, CUSTOMERS, "alice")
        await features.write(view, [row(7, 1, spent=1.0)], "a", now=NOW)
    for folder in ("laid-out", "sets"):
        (tmp_path / folder / "vision").mkdir(parents=True)
        (tmp_path / folder / "vision" / "x.parquet").write_bytes(b"x")
    return await features.get("vision", "customers")


async def test_only_the_closed_teams_go(features: Features, sets: TrainingSets, tmp_path: Path) -> None:
    view = await written(features, tmp_path)
    for _ in range(2):
        for keeper in (features, sets):
            await keeper.forget("vision")
    assert [path for name in ("features", "laid-out", "sets") for path in files(tmp_path / name / "vision")] == []
    assert (await features.read(view, [{"customer": 7}], NOW))[0].values["spent"] is None
    with pytest.raises(NotFound):
        await features.get("vision", "customers")
    other = await features.get("vision-2", "customers")
    assert (await features.read(other, [{"customer": 7}], NOW))[0].values["spent"] == 1.0
    assert len(files(tmp_path / "features" / "vision-2")) == 1


async def test_control_without_it_the_files_stay(features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OfflineFiles, "forget", lambda self, tenant: None)
    await written(features, tmp_path)
    await features.forget("vision")
    assert len(files(tmp_path / "features" / "vision")) == 1
