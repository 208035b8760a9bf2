"""Pushes told from outside: who signed them, and what they say. Nothing of them is believed before the signature holds."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping

from pydantic import BaseModel, JsonValue

from factory_infra.errors import InvalidInput, Unauthenticated

SKEW_SECONDS = 300
"""How old a signed moment may be."""
COMMIT = re.compile(r"[0-9a-f]{7,64}")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,199}")
"""What is handed on: a branch may be called `$(…)`, and a program may read it."""
BRANCH = "refs/heads/"


class Push(BaseModel):
    """What a push says, as far as it is handed on."""

    delivery: str
    branch: str = ""
    commit: str = ""
    repository: str = ""
    ignored: str = ""


def secret_of(pepper: bytes, trigger_id: str, generation: int) -> str:
    """The secret of a trigger, derived from the installation's and kept nowhere: another generation is another secret."""
    return "whs_" + hmac.new(pepper, f"pipeline-trigger/{trigger_id}/{generation}".encode(), hashlib.sha256).hexdigest()


def check_signed(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raise Unauthenticated `signature_invalid` unless one of the known forms proves the secret.

    GitHub: `X-Hub-Signature-256` over the body. Standard Webhooks (GitLab's signing tokens, and anybody's own): `webhook-signature` over
    id, moment and body. GitLab: `X-Gitlab-Token`, which is the secret itself. Of several headers each that is there must hold.
    """
    proofs = [
        proof(secret, headers, body)
        for name, proof in (("x-hub-signature-256", _github), ("webhook-signature", _standard), ("x-gitlab-token", _gitlab))
        if name in headers
    ]
    if not proofs or not all(proofs):
        raise unsigned()


def unsigned() -> Unauthenticated:
    """What whoever cannot prove the secret is told, whether there is such a trigger or not."""
    return Unauthenticated(
        "The signature does not hold.", remedy="Set the trigger's secret in the webhook, or make it anew.", code="signature_invalid"
    )


def _github(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), headers["x-hub-signature-256"].encode())


def _gitlab(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    return hmac.compare_digest(secret.encode(), headers["x-gitlab-token"].encode())


def _standard(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """https://www.standardwebhooks.com: HMAC-SHA256 of `id.timestamp.body` in base64, one of several after `v1,`."""
    name, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not name or not moment.isdecimal() or abs(time.time() - int(moment)) > SKEW_SECONDS:
        return False
    signed = f"{name}.{moment}.".encode() + body
    wanted = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    found = False
    for each in headers["webhook-signature"].split():
        version, _, value = each.partition(",")
        try:
            told = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            continue
        found |= version == "v1" and hmac.compare_digest(told, wanted)
    return found


def read_push(headers: Mapping[str, str], body: bytes, branch: str) -> Push:
    """Read a signed body. What is no push to the branch is ignored, and told so. Raises InvalidInput `hook_invalid`.

    The delivery is named by the body's digest: whoever sends the same bytes again under another name starts nothing twice.
    """
    push = Push(delivery=hashlib.sha256(body).hexdigest())
    event = headers.get("x-github-event") or headers.get("x-gitlab-event") or "push"
    if event.lower() not in {"push", "push hook"}:
        return push.model_copy(update={"ignored": f"a {event[:40]} is no push"})
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The body is no JSON.", remedy="Choose application/json in the webhook.", code="hook_invalid") from error
    if not isinstance(said, dict) or not isinstance(said.get("ref"), str):
        raise InvalidInput("The body names no ref.", remedy="Send a push event as GitHub or GitLab do.", code="hook_invalid")
    if said.get("deleted") is True or set(str(said.get("after", ""))) == {"0"}:
        return push.model_copy(update={"ignored": "a branch was deleted"})
    if not said["ref"].startswith(BRANCH):
        return push.model_copy(update={"ignored": f"{said['ref'][:60]} is no branch"})
    name = said["ref"].removeprefix(BRANCH)
    if branch and name != branch:
        return push.model_copy(update={"ignored": f"a push to {name[:60]}, not to {branch}"})
    return push.model_copy(update={"branch": plain(name), "commit": commit_of(said), "repository": repository_of(said)})


def plain(text: str) -> str:
    """A name that is handed on. Raises InvalidInput for one that a program could misunderstand."""
    if not PLAIN.fullmatch(text):
        raise InvalidInput(f"The name {text[:60]!r} is not handed on.", remedy="Use letters, digits and ._:/@+-.", code="hook_invalid")
    return text


def commit_of(said: Mapping[str, JsonValue]) -> str:
    """The commit that was pushed. Raises InvalidInput."""
    found = str(said.get("after") or said.get("checkout_sha") or "")
    if found and not COMMIT.fullmatch(found):
        raise InvalidInput(f"{found[:60]!r} is no commit.", remedy="Send a push event as GitHub or GitLab do.", code="hook_invalid")
    return found


def repository_of(said: Mapping[str, JsonValue]) -> str:
    """What the repository is called; nothing where that is not plain."""
    for name, key in (("repository", "full_name"), ("project", "path_with_namespace")):
        found = said.get(name)
        text = str(found.get(key, "")) if isinstance(found, dict) else ""
        if PLAIN.fullmatch(text):
            return text
    return ""
