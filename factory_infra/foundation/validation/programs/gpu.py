"""Benchmarks of GPUs through PyTorch, where it is installed and sees any: matrix multiply, memory, and copies to and from the host."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from factory_infra.foundation.validation.models import BurnInOrder, Measurement
from factory_infra.foundation.validation.programs.timing import rounds

MIB = 1024**2
MATRIX_ROWS = 8192
TYPES = ("float32", "bfloat16", "float16")


def gpus() -> int:
    """How many GPUs PyTorch sees; 0 without it."""
    if find_spec("torch") is None:
        return 0
    import torch  # noqa: PLC0415  (an extra, and heavy)

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def matmul(order: BurnInOrder) -> Iterator[Measurement]:
    """Multiply square matrices on each GPU in turn: 2 n³ operations each."""
    import torch  # noqa: PLC0415

    share = order.seconds / max(gpus() * len(TYPES), 1)
    for index in range(gpus()):
        for name in TYPES:
            left, right = (torch.randn(MATRIX_ROWS, MATRIX_ROWS, device=f"cuda:{index}", dtype=getattr(torch, name)) for _ in range(2))
            product = torch.empty_like(left)
            taken = rounds(lambda a=left, b=right, c=product: torch.matmul(a, b, out=c), share, settle=settle(index))  # type: ignore[misc]
            how = f"PyTorch {torch.__version__}, {MATRIX_ROWS} rows"
            value = 2 * MATRIX_ROWS**3 / taken.median / 1e12
            yield Measurement(benchmark="matmul", variant=name, device=f"gpu{index}", value=value, unit="TFLOP/s", how=how)


def memory(order: BurnInOrder) -> Iterator[Measurement]:
    """Copy within each GPU's memory: every byte is read and written."""
    import torch  # noqa: PLC0415

    for index in range(gpus()):
        source = torch.zeros(order.memory_mib * MIB // 2, device=f"cuda:{index}", dtype=torch.uint8)
        target = torch.empty_like(source)
        taken = rounds(lambda a=source, b=target: b.copy_(a), order.seconds / gpus(), settle=settle(index))  # type: ignore[misc]
        value = 2 * source.numel() / taken.median / 1e9
        yield Measurement(benchmark="memory", variant="copy", device=f"gpu{index}", value=value, unit="GB/s", how="PyTorch")


def copy(order: BurnInOrder) -> Iterator[Measurement]:
    """Copy from pinned memory of the host to each GPU, and back."""
    import torch  # noqa: PLC0415

    for index in range(gpus()):
        host = torch.zeros(order.memory_mib * MIB // 2, dtype=torch.uint8, pin_memory=True)
        device = torch.empty_like(host, device=f"cuda:{index}")
        for variant, source, target in (("to_device", host, device), ("to_host", device, host)):
            taken = rounds(
                lambda a=source, b=target: b.copy_(a, non_blocking=True),  # type: ignore[misc]
                order.seconds / gpus() / 2,
                settle=settle(index),
            )
            value = host.numel() / taken.median / 1e9
            yield Measurement(benchmark="copy", variant=variant, device=f"gpu{index}", value=value, unit="GB/s", how="PyTorch, pinned")


def settle(index: int) -> Any:
    """What waits for a GPU's kernels."""
    import torch  # noqa: PLC0415

    return lambda: torch.cuda.synchronize(index)
