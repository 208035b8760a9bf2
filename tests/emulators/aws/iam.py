"""IAM as a gate before all services: what an assumed role may do, and who may assume it. moto itself knows no conditions."""

import fnmatch
import json
import re
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from tests.emulators.aws.protocol import error, signed
from tests.emulators.aws.server import Emulator, Raw
from tests.emulators.aws.world import Json, Request, World

S3_ACTIONS = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
VARIABLE = re.compile(r"\$\{([^}]+)\}")
NEGATED = {"StringNotEquals", "StringNotLike"}


class GatedEmulator(Emulator):
    """Calls by an assumed role are held against its policies, and assuming one against its trust."""

    def _answer(self, world: World, call: Request, environ: Json) -> Raw:
        key, _, _ = signed(environ.get("HTTP_AUTHORIZATION", ""))
        with world.lock:
            refused = refusal(world, call, key)
        if refused:
            code = "UnauthorizedOperation" if call.service == "ec2" else "AccessDenied"
            return error(call.service, code, refused, 403)
        return super()._answer(world, call, environ)


def refusal(world: World, call: Request, key: str) -> str:
    """Why a call is refused, or nothing."""
    fields = {name: values[0] for name, values in parse_qs(call.body.decode("latin1")).items()} if call.service in {"ec2", "sts"} else {}
    session = session_of(world, key)
    name = f"{call.service}:{call.action}"
    if session is not None:
        role, tags = session
        context = context_of(world, call, fields) | {f"aws:PrincipalTag/{tag}": value for tag, value in tags.items()}
        action, resource = action_of(call), resource_of(world, call)
        if not permitted(policies_of(world, role), action, resource, context):
            return f"User: {role} is not authorized to perform: {action} on resource: {resource}"
    if name == "sts:AssumeRole":
        return assumption(world, fields)
    return ""


def assumption(world: World, fields: dict[str, str]) -> str:
    """Hold an AssumeRole against the role's trust; remember the session's tags."""
    name, tags = fields["RoleArn"].rsplit("/", 1)[-1], request_tags(fields, "Tags.member")
    role = next((each for each in iam_backends[world.account]["aws"].roles.values() if each.name == name), None)
    context = {"sts:ExternalId": fields.get("ExternalId", "")} | {f"aws:RequestTag/{tag}": value for tag, value in tags.items()}
    if role is None or not permitted([json.loads(role.assume_role_policy_document)], "sts:AssumeRole", "*", context, services=False):
        return f"not authorized to perform: sts:AssumeRole on resource: {fields['RoleArn']}"
    world.extra.setdefault("sessions", {})[name, fields["RoleSessionName"]] = tags
    return ""


def session_of(world: World, key: str) -> tuple[str, dict[str, str]] | None:
    """The role and tags behind a temporary key."""
    for each in sts_backends[world.account]["aws"].assumed_roles:
        if each.access_key_id == key:
            name = each.role_arn.rsplit("/", 1)[-1]
            return name, world.extra.get("sessions", {}).get((name, each.session_name), {})
    return None


def policies_of(world: World, role: str) -> list[Json]:
    """The inline policies of a role; attached ones are not looked at."""
    found = next(each for each in iam_backends[world.account]["aws"].roles.values() if each.name == role)
    return [json.loads(unquote(each)) if isinstance(each, str) else each for each in found.policies.values()]


def permitted(policies: list[Json], action: str, resource: str, context: dict[str, str], *, services: bool = True) -> bool:
    """IAM's rule: denied by any, else allowed by one."""
    statements = [each for policy in policies for each in policy["Statement"]]
    if not services:
        statements = [each for each in statements if "AWS" in each.get("Principal", {})]
    hits = [each["Effect"] for each in statements if hit(each, action, resource, context)]
    return "Deny" not in hits and "Allow" in hits


def hit(statement: Json, action: str, resource: str, context: dict[str, str]) -> bool:
    """Whether a statement speaks of this call."""
    actions, resources = listed(statement.get("Action", [])), listed(statement.get("Resource", "*"))
    if not any(fnmatch.fnmatchcase(action, each) for each in actions) or not any(fnmatch.fnmatchcase(resource, each) for each in resources):
        return False
    return all(
        compare(operator, context.get(name), [VARIABLE.sub(lambda found: context.get(found[1], ""), each) for each in listed(wanted)])
        for operator, pairs in statement.get("Condition", {}).items()
        for name, wanted in pairs.items()
    )


def compare(operator: str, said: str | None, wanted: list[str]) -> bool:
    """One condition; a key that is absent fulfils only the negated ones."""
    if said is None:
        return operator in NEGATED
    like = any(fnmatch.fnmatchcase(said, each) for each in wanted) if "Like" in operator else said in wanted
    return not like if operator in NEGATED else like


def listed(value: Any) -> list[str]:
    """One or several."""
    return [value] if isinstance(value, str) else list(value)


def action_of(call: Request) -> str:
    """The action as policies name it."""
    if call.service != "s3":
        return f"{call.service}:{call.action}"
    is_bucket = call.path.strip("/").count("/") == 0
    return "s3:ListBucket" if is_bucket and call.method == "GET" else f"s3:{S3_ACTIONS.get(call.method, call.method)}"


def resource_of(world: World, call: Request) -> str:
    """The resource as policies name it, where they do."""
    return f"arn:aws:s3:::{unquote(call.path).strip('/')}" if call.service == "s3" else "*"


def context_of(world: World, call: Request, fields: dict[str, str]) -> dict[str, str]:
    """What conditions ask about."""
    context = {f"aws:RequestTag/{tag}": value for tag, value in request_tags(fields, "TagSpecification.1.Tag").items()}
    if call.service == "s3":
        context |= {f"s3:{name}": values[0] for name, values in parse_qs(call.query).items()}
    instance = ec2_backends[world.account][call.region].get_instance_by_id(fields["InstanceId.1"]) if "InstanceId.1" in fields else None
    if instance is not None:
        context |= {f"aws:ResourceTag/{each['key']}": each["value"] for each in instance.get_tags()}
    if call.service == "batch" and call.action == "TerminateJob":
        job = world.extra["batch"].jobs.get(call.json()["jobId"])
        context |= {f"aws:ResourceTag/{tag}": value for tag, value in (job.asked.get("tags", {}) if job else {}).items()}
    return context


def request_tags(fields: dict[str, str], start: str) -> dict[str, str]:
    """Tags in a query."""
    keys = {name.removesuffix(".Key"): value for name, value in fields.items() if name.startswith(start) and name.endswith(".Key")}
    return {value: fields.get(f"{name}.Value", "") for name, value in keys.items()}
