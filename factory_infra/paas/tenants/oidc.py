"""OpenID Connect: sends a browser to the provider of identities, and checks what comes back. Authorization code with PKCE."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationError

from factory_infra.errors import InvalidInput, Unauthenticated, Unavailable

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key of the provider's. None is by a secret that both know, and none is 'none'."""
FRESH_SECONDS = 3600.0
AGAIN_SECONDS_MIN = 30.0
"""An unknown key of a token has the keys read again, but not more often: a flood of forged tokens is no flood of requests."""
LEEWAY_SECONDS = 60
TIMEOUT_SECONDS = 10.0
BYTES_MAX = 1_000_000
CHARACTERS_MAX = 4_096
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Told = TypeVar("Told", bound=BaseModel)


@dataclass(frozen=True)
class OidcClient:
    """What the provider knows this installation by."""

    issuer: str
    client_id: str
    secret: SecretStr | None = None
    scopes: str = "openid profile email"
    groups_claim: str = "groups"
    name_claim: str = "name"


class Attempt(BaseModel):
    """What one sign-in is held to. It travels with the browser, signed: whoever comes back without it is refused."""

    model_config = ConfigDict(frozen=True)

    state: str
    nonce: str
    verifier: str


class Identity(BaseModel):
    """For whom the provider vouches."""

    subject: str = Field(min_length=6, max_length=255)
    name: str
    groups: list[str]


class Metadata(BaseModel):
    """What is read of the provider's own description."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Tokens(BaseModel):
    """What is read of the answer to a code."""

    id_token: str = Field(max_length=100_000)


class Oidc:
    """One provider. What it says of itself and its keys are remembered for an hour; nothing else is kept."""

    def __init__(self, client: OidcClient, http: httpx.AsyncClient | None = None) -> None:
        check_address(client.issuer)
        self._client = client
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=True)
        self._metadata: Metadata | None = None
        self._keys: JsonValue = None
        self._read_at = self._keys_at = -FRESH_SECONDS

    async def close(self) -> None:
        """Give connections back."""
        await self._http.aclose()

    async def begin(self, redirect: str) -> tuple[str, Attempt]:
        """Return where the browser is sent, and what its return is held to. Raises Unavailable."""
        metadata = await self._described()
        attempt = Attempt(state=secrets.token_urlsafe(24), nonce=secrets.token_urlsafe(24), verifier=secrets.token_urlsafe(48))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": redirect,
            "scope": self._client.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{joint}{urlencode(asked)}", attempt

    async def finish(self, attempt: Attempt, state: str, code: str, redirect: str) -> Identity:
        """Turn a code into an identity. Raises Unauthenticated, in the same words for every reason, and Unavailable."""
        if not hmac.compare_digest(attempt.state.encode(), state.encode()) or not 0 < len(code) <= CHARACTERS_MAX:
            raise sign_in_failed()
        metadata = await self._described()
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": attempt.verifier}
        answer = await self._post(metadata.token_endpoint, asked)
        claims = await self._claims(answer.id_token, metadata)
        if not isinstance(told := claims.get("nonce"), str) or not hmac.compare_digest(told.encode(), attempt.nonce.encode()):
            raise sign_in_failed()
        return self._identity(claims)

    def _identity(self, claims: Mapping[str, JsonValue]) -> Identity:
        subject, name = claims.get("sub"), claims.get(self._client.name_claim)
        groups = claims.get(self._client.groups_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= 250 or not subject.isprintable():
            raise sign_in_failed()
        known = (
            [each for each in groups if isinstance(each, str)] if isinstance(groups, list) else [groups] if isinstance(groups, str) else []
        )
        told = name if isinstance(name, str) and name.isprintable() else ""
        return Identity(subject=f"oidc:{subject}", name=told[:120], groups=known)

    async def _claims(self, token: str, metadata: Metadata) -> Mapping[str, JsonValue]:
        """Check a token's signature, who made it, for whom, and when. Raises Unauthenticated."""
        from joserfc import errors, jwk, jwt  # noqa: PLC0415 - read where somebody signs in, not when the API starts

        for fresh in (False, True):
            try:
                keys = jwk.KeySet.import_key_set(await self._key_set(metadata, again=fresh))  # type: ignore[arg-type]
                decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
                asked = jwt.JWTClaimsRegistry(
                    leeway=LEEWAY_SECONDS,
                    iss={"essential": True, "value": metadata.issuer},
                    aud={"essential": True, "value": self._client.client_id},
                    exp={"essential": True},
                    iat={"essential": True},
                )
                asked.validate(decoded.claims)
                break
            except errors.JoseError as error:
                if fresh or not isinstance(error, errors.BadSignatureError | errors.InvalidKeyIdError):
                    raise sign_in_failed() from error
            except (ValueError, KeyError, TypeError) as error:
                raise sign_in_failed() from error
        # A token for several must say that it was asked for by us.
        if "azp" in decoded.claims and decoded.claims["azp"] != self._client.client_id:
            raise sign_in_failed()
        return decoded.claims

    async def _key_set(self, metadata: Metadata, *, again: bool) -> JsonValue:
        age = time.monotonic() - self._keys_at
        if age >= FRESH_SECONDS or (again and age >= AGAIN_SECONDS_MIN):
            self._keys = (await self._get(metadata.jwks_uri, _Keys)).model_dump()
            self._keys_at = time.monotonic()
        return self._keys

    async def _described(self) -> Metadata:
        if self._metadata is None or time.monotonic() - self._read_at >= FRESH_SECONDS:
            found = await self._get(f"{self._client.issuer.rstrip('/')}/.well-known/openid-configuration", Metadata)
            if found.issuer.rstrip("/") != self._client.issuer.rstrip("/"):
                raise away("it calls itself by another name than LINESHAFT_OIDC_ISSUER")
            for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
                check_address(address)
            self._metadata, self._read_at = found, time.monotonic()
        return self._metadata

    async def _get(self, address: str, form: type[Told]) -> Told:
        try:
            return read(await self._http.get(address, headers={"accept": "application/json"}), form)
        except (httpx.HTTPError, ValidationError) as error:
            raise away("it does not answer as it should") from error

    async def _post(self, address: str, asked: Mapping[str, str]) -> Tokens:
        """Ask for tokens. A refusal is the person's, not a fault of the provider: the code was wrong, used or too old."""
        secret = self._client.secret.get_secret_value() if self._client.secret else None
        told = {**asked, "client_id": self._client.client_id} if secret is None else dict(asked)
        auth = httpx.USE_CLIENT_DEFAULT if secret is None else httpx.BasicAuth(self._client.client_id, secret)
        try:
            answer = await self._http.post(address, data=told, auth=auth, headers={"accept": "application/json"})
            if 400 <= answer.status_code < 500:
                raise sign_in_failed()
            return read(answer, Tokens)
        except (httpx.HTTPError, ValidationError) as error:
            raise away("it does not answer as it should") from error


class _Keys(BaseModel):
    keys: list[dict[str, JsonValue]]


def read(answer: httpx.Response, form: type[Told]) -> Told:
    """Read an answer of a form. Raises what httpx and pydantic raise."""
    answer.raise_for_status()
    if len(answer.content) > BYTES_MAX:
        raise httpx.DecodingError("The answer is too large.")
    return form.model_validate_json(answer.content)


def check_address(address: str) -> None:
    """Raise InvalidInput for an address that anybody on the way could read or change: plain HTTP is for this machine only."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        remedy = "Use an https address in LINESHAFT_OIDC_ISSUER."
        raise InvalidInput("The provider of identities has no https address.", remedy=remedy, code="oidc_invalid")


def sign_in_failed() -> Unauthenticated:
    """The one refusal of every sign-in that does not hold."""
    return Unauthenticated("The sign-in did not hold.", remedy="Begin again at /v1/sign-in.", code="sign_in_failed")


def away(why: str) -> Unavailable:
    """A provider that cannot be used now."""
    remedy = "Try again, sign in with a key, or look at LINESHAFT_OIDC_ISSUER."
    return Unavailable(f"The provider of identities cannot be used: {why}.", remedy=remedy, code="oidc_unavailable")
