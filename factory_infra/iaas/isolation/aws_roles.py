"""A tenant's role in a pool of AWS: its name, who may assume it and how, and what it may. Pure: documents only."""

import hashlib
import json

from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.carrier.keys import tenant_prefix

PATH = "/lineshaft/"
TENANT_TAG = "lineshaft:tenant"
DATA_POLICY = "lineshaft-data"
MACHINES_POLICY = "lineshaft-machines"
SERVICES = ("ecs-tasks.amazonaws.com", "sagemaker.amazonaws.com")
"""What runs a tenant's containers may put its role into them."""
STOPPING = ["ec2:StopInstances", "ec2:StartInstances", "ec2:TerminateInstances", "ec2:RebootInstances", "batch:TerminateJob"]
STARTING = ["ec2:RunInstances", "batch:SubmitJob", "sagemaker:CreateTrainingJob"]
Document = dict[str, object]


def role_name(pool: AwsPool, tenant: str) -> str:
    """The role's name; at most 64 letters, and another for every pool and tenant."""
    digest = hashlib.sha256(f"{pool.name}/{tenant}".encode()).hexdigest()[:8]
    return f"lineshaft-{pool.name[:20]}-{tenant[:20]}-{digest}"


def role_arn(pool: AwsPool, account: str, tenant: str) -> str:
    """Where the role is: in the tenant's own account, where the pool names one, else in the pool's."""
    return f"arn:aws:iam::{pool.tenant_accounts.get(tenant, account)}:role{PATH}{role_name(pool, tenant)}"


def external_id(pool: AwsPool, tenant: str) -> str:
    """What must be said to assume the role: another for every tenant, so that nobody is led to assume a stranger's."""
    return hashlib.sha256(f"{pool.external_id}/{pool.name}/{tenant}".encode()).hexdigest()[:32]


def trust(pool: AwsPool, account: str, tenant: str) -> Document:
    """Who may assume the role: this installation with the tenant's external id and tag, and the services that run its containers."""
    said = {"sts:ExternalId": external_id(pool, tenant), f"aws:RequestTag/{TENANT_TAG}": tenant}
    return document(
        {
            "Sid": "Installation",
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam::{account}:root", *([pool.role_arn] if pool.role_arn else [])]},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": said},
        },
        {"Sid": "Containers", "Effect": "Allow", "Principal": {"Service": list(SERVICES)}, "Action": "sts:AssumeRole"},
    )


def data_policy(pool: AwsPool, tenant: str) -> Document:
    """The tenant's part of the bucket, and nothing else of it."""
    bucket, prefix = f"arn:aws:s3:::{pool.bucket or 'lineshaft-none'}", tenant_prefix(tenant)
    return document(
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "Resource": f"{bucket}/{prefix}*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket, "Condition": {"StringLike": {"s3:prefix": f"{prefix}*"}}},
    )


def machines_policy() -> Document:
    """What bears the tenant's tag may be stopped, and what is started must bear it. Nothing may be listed: lists know no tags."""
    own = f"${{aws:PrincipalTag/{TENANT_TAG}}}"
    return document(
        {"Effect": "Allow", "Action": STOPPING, "Resource": "*", "Condition": {"StringEquals": {f"aws:ResourceTag/{TENANT_TAG}": own}}},
        {"Effect": "Deny", "Action": STARTING, "Resource": "*", "Condition": {"StringNotEquals": {f"aws:RequestTag/{TENANT_TAG}": own}}},
        {"Effect": "Deny", "Action": ["ec2:CreateTags", "ec2:DeleteTags", "batch:TagResource", "iam:*", "sts:*"], "Resource": "*"},
    )


def document(*statements: Document) -> Document:
    """A policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def text(policy: Document) -> str:
    """As IAM takes it."""
    return json.dumps(policy, sort_keys=True)
