"""Measures what of the control plane is there and prints a row each: make prove-control-plane. Exit code 1 if any falls short."""

import sys

from benchmarks.control_plane import (
    blueprints,
    catalog_search,
    drift_story,
    feature_reads,
    kpis,
    optimization,
    permissions,
    pipelines,
    rollout,
    studies,
)
from benchmarks.groups import Measure, asked_for, run

GROUPS: dict[str, Measure] = {
    "catalog": catalog_search.checks,
    "permissions": permissions.checks,
    "features": feature_reads.checks,
    "rollout": rollout.checks,
    "drift": drift_story.checks,
    "kpis": kpis.checks,
    "costs": optimization.checks,
    "pipelines": pipelines.checks,
    "studies": studies.checks,
    "blueprints": blueprints.checks,
}
"""In this order; a group may be chosen by its name."""


if __name__ == "__main__":
    sys.exit(run("the control plane", {name: GROUPS[name] for name in asked_for(__doc__, GROUPS)}))
