"""Templates of what is long-lived pass cfn-lint."""

import json
import re

import pytest
from cfnlint.api import lint_all

from factory_infra.foundation.clusters.models import ClusterForm, ClusterSpec
from factory_infra.foundation.clusters.providers.aws_stack import template
from factory_infra.foundation.pools.spec import AwsPool

POOL = AwsPool(name="east", region="us-east-1")


def made(form: ClusterForm) -> str:
    """A template."""
    return template(POOL, ClusterSpec(key="k", tenant="vision", form=form, machine="p5.48xlarge", count=2))


def wrong(text: str) -> list[str]:
    """The linter's errors and warnings; what begins with I is advice."""
    return [str(each) for each in lint_all(text) if not each.rule.id.startswith("I")]


@pytest.mark.parametrize("form", ["fleet", "kubernetes"])
def test_it_passes_the_linter(form: ClusterForm) -> None:
    assert wrong(made(form)) == []


def test_control_the_linter_finds_what_is_wrong() -> None:
    broken = json.loads(made("fleet"))
    broken["Resources"]["Bucket"]["Properties"]["Nonsense"] = 1
    assert wrong(json.dumps(broken))


def test_its_outputs_name_the_pools_fields() -> None:
    outputs = json.loads(made("kubernetes"))["Outputs"].values()
    named = {field for each in outputs for field in re.findall(r"[a-z_]+", each["Description"].rpartition(": ")[2])}
    assert named <= set(AwsPool.model_fields)


def test_the_bucket_stays_and_is_closed() -> None:
    bucket = json.loads(made("fleet"))["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())


def test_everything_of_a_form_is_there() -> None:
    kinds = {each["Type"] for each in json.loads(made("kubernetes"))["Resources"].values()}
    for kind in ("EKS::Cluster", "EKS::Nodegroup", "EC2::VPC", "S3::Bucket", "IAM::Role", "Batch::ComputeEnvironment"):
        assert f"AWS::{kind}" in kinds
