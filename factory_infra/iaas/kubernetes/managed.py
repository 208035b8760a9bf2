"""A pool from a managed cluster: what EKS says of one becomes an entry of the pools' file and a kubeconfig."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from factory_infra.errors import Conflict
from factory_infra.foundation.pools.spec import KubernetesPool

LOGIN_VERSION = "client.authentication.k8s.io/v1beta1"


class _Authority(BaseModel):
    model_config = ConfigDict(extra="ignore")

    data: str = ""


class EksCluster(BaseModel):
    """The parts of `DescribeCluster` that are needed."""

    model_config = ConfigDict(extra="ignore")

    name: str
    arn: str
    endpoint: str = ""
    status: str = ""
    certificate_authority: _Authority = Field(default=_Authority(), alias="certificateAuthority")

    @property
    def region(self) -> str:
        """From the cluster's ARN."""
        return self.arn.split(":")[3]


def pool_of_eks(cluster: EksCluster, name: str, folder: Path, profile: str = "") -> KubernetesPool:
    """Write a kubeconfig that logs in with `aws eks get-token`, and return the pool that uses it.

    Args:
        cluster: as EKS describes it.
        name: the pool's.
        folder: where the kubeconfig is written, readable by this account alone. It holds no secret.
        profile: of the AWS configuration of this account; the default chain if empty.

    Raises Conflict while the cluster has no address yet.
    """
    if cluster.status != "ACTIVE" or not cluster.endpoint:
        raise Conflict(f"The EKS cluster {cluster.name} is {cluster.status or 'not there yet'}.", remedy="Wait until it is ACTIVE.")
    arguments = ["eks", "get-token", "--cluster-name", cluster.name, "--region", cluster.region, "--output", "json"]
    login: dict[str, object] = {"apiVersion": LOGIN_VERSION, "command": "aws", "args": arguments}
    if profile:
        login["env"] = [{"name": "AWS_PROFILE", "value": profile}]
    parts: dict[str, dict[str, object]] = {
        "cluster": {"server": cluster.endpoint, "certificate-authority-data": cluster.certificate_authority.data},
        "user": {"exec": login},
        "context": {"cluster": cluster.name, "user": cluster.name},
    }
    body: dict[str, object] = {"apiVersion": "v1", "kind": "Config", "current-context": cluster.name}
    body |= {f"{part}s": [{"name": cluster.name, part: value}] for part, value in parts.items()}
    file = folder / f"{name}.kubeconfig.yaml"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(body), encoding="utf-8")
    return KubernetesPool(name=name, title=f"EKS {cluster.name} in {cluster.region}", kubeconfig=file, context=cluster.name)
