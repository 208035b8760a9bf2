"""AWS's protocols as far as the emulator speaks them itself: whose call it is, and how an error looks."""

import json
import re
import uuid
from functools import cache
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from botocore.exceptions import UnknownServiceError
from moto.core.request import Request as MotoRequest
from moto.core.routing import ServiceOperationRouter, get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

SIGNED = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")
ABOUT = ("ClientToken", "clientToken", "clientRequestToken", "ClientRequestToken")
NAMES = re.compile(r"^(LaunchTemplateName|LaunchTemplateId|GroupName|AutoScalingGroupName|InstanceId\.\d+|FleetId\.\d+|ResourceId\.\d+)$")


def signed(authorization: str) -> tuple[str, str, str]:
    """Access key, region and service of a signed call."""
    found = SIGNED.search(authorization)
    return (found[1], found[2], found[3]) if found else ("", "us-east-1", "")


@cache
def protocol_of(service: str) -> str:
    """Which protocol a service speaks."""
    try:
        return str(get_service_model(service).protocol)
    except UnknownServiceError:
        return "json"


@cache
def _router(service: str) -> ServiceOperationRouter:
    return get_service_router(service)


def action_of(service: str, request: MotoRequest, body: bytes) -> str:
    """The operation that is called."""
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return target.split(".")[-1]
    if protocol_of(service) in {"ec2", "query"}:
        return parse_qs(body.decode("latin1")).get("Action", [""])[0]
    if service == "s3":
        return request.method
    try:
        return str(_router(service).match(request)[0].name)
    except (HTTPException, NotImplementedError, UnknownServiceError):
        return f"{request.method} {request.path}"


def about(service: str, body: bytes, path: str) -> str:
    """What a call is about: its client token, else the ids and names in it."""
    if protocol_of(service) in {"ec2", "query"}:
        fields = {name: values[0] for name, values in parse_qs(body.decode("latin1")).items()}
        token = next((fields[name] for name in ABOUT if name in fields), "")
        return token or ",".join(sorted(value for name, value in fields.items() if NAMES.match(name)))
    try:
        read: Any = json.loads(body or b"{}")
    except ValueError:
        return path
    token = next((str(read[name]) for name in ABOUT if isinstance(read, dict) and name in read), "")
    return token or path


def error(service: str, code: str, message: str, status: int) -> tuple[bytes, int, dict[str, str]]:
    """An error as the service's protocol has it."""
    kind, request_id = protocol_of(service), str(uuid.uuid4())
    if kind == "ec2":
        text = f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
        return f"{text}<RequestID>{request_id}</RequestID></Response>".encode(), status, {"Content-Type": "text/xml"}
    if kind == "query":
        text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        return f"{text}<RequestId>{request_id}</RequestId></ErrorResponse>".encode(), status, {"Content-Type": "text/xml"}
    if kind == "rest-xml":
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"
        return text.encode(), status, {"Content-Type": "application/xml"}
    body = json.dumps({"__type": code, "message": message}).encode()
    return body, status, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
