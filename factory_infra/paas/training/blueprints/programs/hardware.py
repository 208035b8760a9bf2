"""Which hardware a program of a blueprint trains on. Shipped within the programs that take from it."""

import torch


def chosen(told: dict[str, object]) -> torch.device:
    """The first GPU that the job may use, or the CPU where it has none or was given cores."""
    return torch.device("cuda" if torch.cuda.is_available() and not told.get("cpu") else "cpu")


def hardware(device: torch.device) -> dict[str, str]:
    """A device by its name, as a tag of the run."""
    return {"lineshaft.env.device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"}
