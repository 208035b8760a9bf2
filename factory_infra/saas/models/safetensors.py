"""Reads float32 tensors from a safetensors file without copying them."""

import json
import mmap
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter, ValidationError

from factory_infra.errors import EffectFailed

HEADER_BYTES_MAX = 10_000_000

Tensor = NDArray[np.float32]


class _Entry(BaseModel):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Map the file and return its float32 tensors by name. Raises EffectFailed `weights_unreadable` for a damaged file."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        (header_bytes,) = struct.unpack_from("<Q", mapped)
        if header_bytes > HEADER_BYTES_MAX:
            raise ValueError("the header is too long")
        header = json.loads(mapped[8 : 8 + header_bytes])
        if not isinstance(header, dict):
            raise ValueError("the header is no table")
        header.pop("__metadata__", None)
        entries = _ENTRIES.validate_python(header)
        start = 8 + header_bytes
        return {name: _tensor(mapped, start, entry) for name, entry in entries.items() if entry.dtype == "F32"}
    except (OSError, ValueError, struct.error, ValidationError) as error:
        raise EffectFailed(
            f"The weights file {path.name} cannot be read: {error}",
            remedy="Install the environment again: make run.",
            code="weights_unreadable",
        ) from error


def _tensor(mapped: mmap.mmap, start: int, entry: _Entry) -> Tensor:
    begin, end = entry.data_offsets
    return np.frombuffer(mapped, dtype="<f4", count=(end - begin) // 4, offset=start + begin).reshape(entry.shape)
