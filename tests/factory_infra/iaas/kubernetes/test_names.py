"""Names in a cluster: valid whatever the team or job is called, and never the same for two."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from factory_infra.errors import Conflict
from factory_infra.foundation.pools.kubeconfig import of_file
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.managed import EksCluster, pool_of_eks
from factory_infra.iaas.kubernetes.names import LABEL, job_name, label_value, namespace_of

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
POOL = KubernetesPool(name="p")


@settings(max_examples=100)
@given(NAMES, NAMES)
def test_names_are_valid_and_differ(left: str, right: str) -> None:
    for text in (left, right):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", job_name(text)) and len(job_name(text)) <= 40
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", namespace_of(POOL, text)) and len(namespace_of(POOL, text)) <= 63
        assert LABEL.fullmatch(label_value(text))
    if left != right:
        assert job_name(left) != job_name(right) and namespace_of(POOL, left) != namespace_of(POOL, right)


@pytest.mark.parametrize(("tenant", "name"), [("vision", "lineshaft-vision"), ("a-b", "lineshaft-a-b")])
def test_plain_names_stay_readable(tenant: str, name: str) -> None:
    assert namespace_of(POOL, tenant) == name


def test_a_team_cannot_take_the_name_that_another_was_given_for_want_of_a_plain_one() -> None:
    taken = namespace_of(POOL, "Vision!".strip("!"))
    assert namespace_of(POOL, taken.removeprefix("lineshaft-")) != taken


CLUSTER = {
    "name": "train",
    "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/train",
    "endpoint": "https://abc.eks.example",
    "status": "ACTIVE",
    "certificateAuthority": {"data": "Y2E="},
    "version": "1.33",
}


def test_a_managed_cluster_becomes_a_pool(tmp_path: Path) -> None:
    pool = pool_of_eks(EksCluster.model_validate(CLUSTER), "eks", tmp_path, profile="research")
    assert pool.kubeconfig is not None and pool.kubeconfig.stat().st_mode & 0o077 == 0
    access = of_file(pool.kubeconfig, pool.context)
    assert access.server == "https://abc.eks.example" and access.user.login is not None
    assert access.user.login.args == ["eks", "get-token", "--cluster-name", "train", "--region", "eu-west-1", "--output", "json"]
    assert "research" in yaml.safe_dump(yaml.safe_load(pool.kubeconfig.read_text()))


def test_one_that_is_not_ready_is_told(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="CREATING"):
        pool_of_eks(EksCluster.model_validate(CLUSTER | {"status": "CREATING"}), "eks", tmp_path)
