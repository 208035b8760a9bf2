"""`lineshaft models`."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.models import app
from factory_infra.saas.models import weights
from factory_infra.saas.models.weights_partial import Partial, Progress, WeightsSpec

CONTENT = b"weights" * 1000
SPEC = WeightsSpec(
    name="tiny",
    aliases=("t",),
    hub_repository="",
    hub_file="",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    license="Apache-2.0",
    packages=(),
    packages_version="",
)


class Source:
    """Sends what it is told."""

    name = "test"

    def __init__(self, content: bytes) -> None:
        self.content = content

    def fetch(self, spec: WeightsSpec, partial: Partial, progress: Progress) -> None:
        partial.append(self.content)
        progress(partial.size_bytes, spec.size_bytes, "sent")


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.PINNED, SPEC.name, SPEC)
    monkeypatch.setattr(weights, "HubSource", lambda: Source(CONTENT))


def test_pull_prints_the_path_and_list_shows_it(tmp_path: Path) -> None:
    pulled = CliRunner().invoke(app, ["pull", "t"], obj=tmp_path)
    assert pulled.exit_code == 0
    path = Path(pulled.stdout.strip())
    assert path.read_bytes() == CONTENT
    listed = json.loads(CliRunner().invoke(app, ["list", "--json"], obj=tmp_path).stdout)
    states = {row["name"]: (row["present"], row["verified"]) for row in listed}
    assert states == {"qwen2.5-coder-0.5b": (False, False), "qwen2.5-coder-1.5b": (False, False), "tiny": (True, True)}
    assert "Apache-2.0" in CliRunner().invoke(app, ["list"], obj=tmp_path).stdout


def test_a_wrong_digest_ends_with_a_code_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "HubSource", lambda: Source(CONTENT[::-1]))
    result = CliRunner().invoke(app, ["pull", "tiny"], obj=tmp_path)
    assert result.exit_code == 1
    assert "digest_mismatch" in result.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".lock")]


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["pull", "gpt"], obj=tmp_path)
    assert result.exit_code == 1
    assert "weights_unknown" in result.stderr
