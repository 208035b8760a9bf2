"""Signing in through a provider of identities: what comes back is believed only if every part of it holds."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwk, jwt
from pydantic import SecretStr

from factory_infra.errors import InvalidInput, LineshaftError, Unauthenticated, Unavailable
from factory_infra.paas.tenants import oidc
from factory_infra.paas.tenants.groups import load_groups
from factory_infra.paas.tenants.oidc import Identity, Oidc, OidcClient

ISSUER = "https://id.example"
BACK = "http://127.0.0.1:8400/v1/sign-in/callback"
KEY = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


class Provider:
    """A strict provider: it gives a token once for a code, to who knows the verifier of the challenge."""

    def __init__(self, key: jwk.RSAKey = KEY) -> None:
        self.keys, self.key, self.algorithm = [key], key, "RS256"
        self.claims: dict[str, Any] = {}
        self.challenge = self.nonce = ""
        self.asked: list[httpx.Request] = []
        self.metadata: dict[str, Any] = {}
        self.client = OidcClient(ISSUER, "lineshaft", SecretStr("hush"))

    def oidc(self) -> Oidc:
        """A client that reaches only this provider."""
        return Oidc(self.client, httpx.AsyncClient(transport=httpx.MockTransport(self._answer)))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                places = {f"{name}_endpoint": f"{ISSUER}/{name}" for name in ("authorization", "token")}
                return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", **places, **self.metadata})
            case "/keys":
                return httpx.Response(200, json={"keys": [key.as_dict(private=False) for key in self.keys]})
            case _:
                return self._token(parse_qs(request.content.decode()))

    def _token(self, form: dict[str, list[str]]) -> httpx.Response:
        digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != self.challenge or form["code"] != ["good"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(time.time())
        told = {"iss": ISSUER, "aud": "lineshaft", "sub": "ann", "name": "Ann", "iat": now, "exp": now + 300, "nonce": self.nonce}
        told = {name: value for name, value in (told | {"groups": ["ops"]} | self.claims).items() if value is not None}
        return httpx.Response(200, json={"id_token": jwt.encode({"alg": self.algorithm, "kid": "one"}, told, self.key)})


async def signed_in(provider: Provider, *, code: str = "good", **changed: str) -> Identity:
    """Go there and come back."""
    client = provider.oidc()
    address, attempt = await client.begin(BACK)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    provider.challenge, provider.nonce = asked["code_challenge"], asked["nonce"]
    assert (asked["code_challenge_method"], asked["redirect_uri"]) == ("S256", BACK)
    assert attempt.verifier not in address and "hush" not in address
    return await client.finish(attempt.model_copy(update=changed), asked["state"], code, BACK)


class TestHolds:
    async def test_who_comes_back_is_who_the_provider_names(self) -> None:
        provider = Provider()
        assert await signed_in(provider) == Identity(subject="oidc:ann", name="Ann", groups=["ops"])
        assert all("hush" not in str(request.url) for request in provider.asked)
        assert provider.asked[-2].headers["authorization"].startswith("Basic ")

    async def test_keys_and_description_are_remembered_and_a_new_key_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        provider, client = Provider(), None
        client = provider.oidc()
        provider.oidc = lambda: client  # type: ignore[method-assign]
        for _ in range(3):
            await signed_in(provider)
        assert [request.url.path for request in provider.asked].count("/keys") == 1
        turned = jwk.RSAKey.generate_key(2048, {"kid": "one"})
        provider.key, provider.keys = turned, [turned]
        with pytest.raises(Unauthenticated):
            await signed_in(provider)
        assert [request.url.path for request in provider.asked].count("/keys") == 1
        monkeypatch.setattr(oidc, "AGAIN_SECONDS_MIN", 0.0)
        await signed_in(provider)

    @pytest.mark.parametrize(("groups", "known"), [(None, []), ("one", ["one"]), (["a", 1, None], ["a"]), ({"a": 1}, [])])
    async def test_groups_in_every_form(self, groups: object, known: list[str]) -> None:
        provider = Provider()
        provider.claims = {"groups": groups}
        assert (await signed_in(provider)).groups == known


class TestRefuses:
    @pytest.mark.parametrize(
        "claims",
        [
            {"nonce": "another"},
            {"nonce": None},
            {"iss": "https://evil.example"},
            {"aud": "somebody-else"},
            {"aud": ["lineshaft", "other"], "azp": "other"},
            {"exp": 1},
            {"exp": None},
            {"sub": None},
            {"sub": ""},
            {"sub": "a\nb"},
            {"sub": 7},
        ],
    )
    async def test_claims_that_do_not_hold(self, claims: dict[str, object]) -> None:
        provider = Provider()
        provider.claims = claims
        await refused(provider)

    async def test_a_signature_of_another(self) -> None:
        provider = Provider()
        provider.key = OTHER
        await refused(provider)

    async def test_a_token_that_is_signed_with_the_public_key_as_a_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        provider = Provider()
        public = KEY.as_pem(private=False)

        def forged(form: dict[str, list[str]]) -> httpx.Response:
            return httpx.Response(200, json={"id_token": by_hand({"alg": "HS256", "kid": "one"}, provider.nonce, public)})

        monkeypatch.setattr(provider, "_token", forged)
        await refused(provider)

    @pytest.mark.parametrize("algorithm", ["none", "None", "HS256"])
    async def test_a_token_without_a_signature(self, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
        provider = Provider()

        def forged(form: dict[str, list[str]]) -> httpx.Response:
            return httpx.Response(200, json={"id_token": by_hand({"alg": algorithm, "kid": "one"}, provider.nonce, b"")})

        monkeypatch.setattr(provider, "_token", forged)
        await refused(provider)

    @pytest.mark.parametrize("changed", [{"verifier": "x" * 64}, {"state": "another"}, {"nonce": "another"}])
    async def test_who_did_not_begin_it(self, changed: dict[str, str]) -> None:
        await refused(Provider(), **changed)

    @pytest.mark.parametrize("code", ["", "bad", "x" * 5000])
    async def test_a_code_that_is_none(self, code: str) -> None:
        await refused(Provider(), code=code)

    @pytest.mark.parametrize("metadata", [{"issuer": "https://evil.example"}, {"token_endpoint": 7}])
    async def test_a_provider_that_is_another(self, metadata: dict[str, object]) -> None:
        provider = Provider()
        provider.metadata = metadata
        with pytest.raises(Unavailable):
            await signed_in(provider)

    async def test_an_address_that_others_can_read(self) -> None:
        provider = Provider()
        provider.metadata = {"token_endpoint": "http://id.example/token"}
        with pytest.raises(InvalidInput):
            await signed_in(provider)
        for issuer in ("http://id.example", "ftp://id.example", "id.example"):
            with pytest.raises(InvalidInput):
                Oidc(OidcClient(issuer, "lineshaft"))


class TestGroups:
    def test_a_group_gives_what_the_file_says(self, tmp_path: Path) -> None:
        file = tmp_path / "groups.yaml"
        file.write_text("groups:\n  - {group: ops, tenant: vision, role: operator}\n  - {group: heads, organisation: acme, role: admin}\n")
        found = load_groups(file).members("oidc:ann", "Ann", ["ops", "unknown"])
        assert [(each.tenant, each.role, each.subject) for each in found] == [("vision", "operator", "oidc:ann")]
        assert load_groups(tmp_path / "none.yaml").members("oidc:ann", "Ann", ["ops"]) == []

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("groups:\n  - {group: a, tenant: b, tenant: c}", "line 2"),
            ("groups: [{group: a}]", "groups.0"),
            ("groups: [{group: a, tenant: b, organisation: c}]", "groups.0"),
            ("groups: [{group: a, organisation: b, project: c}]", "groups.0"),
            ("groups: [{group: a, tenant: b, rolle: user}]", "groups.0.rolle"),
            ("group: []", "group"),
            ("groups: [", "line"),
            ("- a", "groups"),
        ],
    )
    def test_what_cannot_be_is_named(self, tmp_path: Path, text: str, told: str) -> None:
        file = tmp_path / "groups.yaml"
        file.write_text(text)
        with pytest.raises(InvalidInput) as raised:
            load_groups(file)
        assert told in raised.value.reason and raised.value.error_code == "groups_invalid"


async def refused(provider: Provider, **changed: str) -> None:
    """All in the same words, which tell nothing of why."""
    with pytest.raises(LineshaftError) as raised:
        await signed_in(provider, **changed)
    assert (raised.value.error_code, raised.value.reason) == ("sign_in_failed", "The sign-in did not hold.")


def by_hand(header: dict[str, str], nonce: str, secret: bytes) -> str:
    """A token as an attacker would write it."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "lineshaft", "sub": "ann", "iat": now, "exp": now + 300, "nonce": nonce}
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (header, claims)]
    signature = hmac.digest(secret, ".".join(parts).encode(), "sha256") if secret else b""
    return ".".join([*parts, base64.urlsafe_b64encode(signature).decode().rstrip("=")])
