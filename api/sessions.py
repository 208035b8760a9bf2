"""Browser sessions: a signed, expiring cookie that names a key or a person; who may nothing any more is refused at once."""

import base64
import hashlib
import hmac
import time

from factory_infra.errors import Unauthenticated
from factory_infra.paas.tenants.models import Principal
from factory_infra.paas.tenants.service import Tenants

COOKIE = "lineshaft_session"
SESSION_SECONDS = 12 * 3600
MARK = "~"
"""What signed words begin with that are no key's id, and so are encoded."""


class Sessions:
    """Signs and checks session cookies. Nothing is stored: the signature decides, and then the key's or the person's own state."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def issue(self, principal: Principal) -> str:
        """Return a cookie for a principal that has shown its key, or that a provider of identities has vouched for."""
        return self.signed(principal.key_id, SESSION_SECONDS)

    def signed(self, words: str, seconds: int) -> str:
        """Return words that nobody can change and that are over after so many seconds. Whoever holds them can read them."""
        told = words if words.isalnum() else MARK + base64.urlsafe_b64encode(words.encode()).decode().rstrip("=")
        body = f"{told}.{int(time.time()) + seconds}"
        return f"{body}.{self._sign(body)}"

    async def principal(self, cookie: str, tenants: Tenants) -> Principal:
        """Tell whom a cookie of a key stands for. Raises Unauthenticated, also when its key was revoked since."""
        return await tenants.principal_of(self.subject(cookie))

    def subject(self, cookie: str) -> str:
        """Tell what was signed: a key's id, or a person as `oidc:NAME`. Raises Unauthenticated for what is not ours, or is over."""
        body, _, signature = cookie.rpartition(".")
        told, _, expires = body.partition(".")
        valid = hmac.compare_digest(signature.encode(), self._sign(body).encode()) and expires.isdigit() and int(expires) > time.time()
        if not valid:
            raise Unauthenticated("The session is not valid.", remedy="Sign in again.")
        if not told.startswith(MARK):
            return told
        told = told.removeprefix(MARK)
        return base64.urlsafe_b64decode(told + "=" * (-len(told) % 4)).decode()

    def _sign(self, body: str) -> str:
        return hmac.new(self._secret, body.encode(), hashlib.sha256).hexdigest()
