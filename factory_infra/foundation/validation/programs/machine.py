"""What type of machine this is: nodes of one type should be equally fast."""

import os
import re
from contextlib import suppress
from pathlib import Path

import pynvml

DMI_PRODUCT = "/sys/class/dmi/id/product_name"
CPU_INFO = "/proc/cpuinfo"
MEMORY_INFO = "/proc/meminfo"
VAGUE = {"", "to be filled by o.e.m.", "system product name", "standard pc (i440fx + piix, 1996)", "standard pc (q35 + ich9, 2009)"}


def machine_type(root: Path = Path("/")) -> str:
    """Product (on EC2 the instance type), processor, cores, memory and GPUs, as far as the machine tells them."""
    product = first_line(root / DMI_PRODUCT.lstrip("/"))
    known = [] if product.lower() in VAGUE else [product]
    words = [*known, processor(root), f"{len(os.sched_getaffinity(0))} cores", memory(root), *gpus()]
    return " · ".join(word for word in words if word)[:255]


def first_line(file: Path) -> str:
    """A file's first line, empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()[:80]
    except OSError:
        return ""


def processor(root: Path) -> str:
    """The processor's name."""
    with suppress(OSError):
        text = (root / CPU_INFO.lstrip("/")).read_text(encoding="utf-8", errors="replace")
        match = re.search(r"model name\s*:\s*(.+)", text)
        if match:
            return re.sub(r"\s+", " ", match.group(1)).strip()[:80]
    return ""


def memory(root: Path) -> str:
    """The memory in whole steps of 4 GiB: machines of one type differ by a little."""
    with suppress(OSError):
        match = re.search(r"MemTotal:\s+(\d+) kB", (root / MEMORY_INFO.lstrip("/")).read_text(encoding="utf-8", errors="replace"))
        if match:
            return f"{max(round(int(match.group(1)) / 1024**2 / 4) * 4, 1)} GiB"
    return ""


def gpus() -> list[str]:
    """The GPUs that NVML tells of, counted by name."""
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            names = [str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(i))) for i in range(pynvml.nvmlDeviceGetCount())]
        finally:
            pynvml.nvmlShutdown()
        return [f"{names.count(name)} × {name}" for name in sorted(set(names))]
    return []
