"""What others published on the same experiments, to stand beside what is measured here."""

VARIANTS = ("default", "cpu200", "gpushare100", "gpuspec33", "multigpu50")
"""Lists of pods: as it was, more pods without GPUs, shares only, a third bound to GPU types, half of the GPUs in pods of several."""

INFLATION: dict[str, dict[str, float]] = {
    "random": {"default": 87.47, "cpu200": 83.77, "gpushare100": 79.44, "gpuspec33": 86.46, "multigpu50": 90.28},
    "best_fit": {"default": 93.08, "cpu200": 92.40, "gpushare100": 85.01, "gpuspec33": 93.09, "multigpu50": 95.74},
    "fgd": {"default": 95.39, "cpu200": 95.05, "gpushare100": 86.90, "gpuspec33": 94.55, "multigpu50": 97.18},
}
"""GPU allocation in percent at 130 % of arrived load, mean of ten seeds: the results that come with the code of "Beware of Fragmentation:
Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023."""

TRIED: dict[str, dict[str, float]] = {
    "first_fit": {"default": 94.61, "cpu200": 94.42, "gpushare100": 86.27, "gpuspec33": 94.12, "multigpu50": 96.39},
    "fgd_stranding": {"default": 95.90, "cpu200": 95.94, "gpushare100": 87.28, "gpuspec33": 95.88, "multigpu50": 97.69},
}
"""The same experiment, run before by another program of ours; published nowhere."""

REPRODUCED_WITHIN = 0.3
"""In points, for policies of others on the default trace."""
MEAN_GOAL = 94.5
"""Of the default policy, over the five traces."""


def known(policy: str, variant: str) -> float | None:
    """What is published (or was tried before) for a policy on a trace."""
    return (INFLATION.get(policy) or TRIED.get(policy) or {}).get(variant)
