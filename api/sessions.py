"""Browser sessions: a signed, expiring cookie that names a key; a revoked key ends its sessions at once."""

import hashlib
import hmac
import time

from factory_infra.errors import Unauthenticated
from factory_infra.paas.tenants.models import Principal
from factory_infra.paas.tenants.service import Tenants

COOKIE = "lineshaft_session"
SESSION_SECONDS = 12 * 3600


class Sessions:
    """Signs and checks session cookies. Nothing is stored: the signature and the key's own state decide."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def issue(self, principal: Principal) -> str:
        """Return a cookie for a principal that has shown its key."""
        body = f"{principal.key_id}.{int(time.time()) + SESSION_SECONDS}"
        return f"{body}.{self._sign(body)}"

    async def principal(self, cookie: str, tenants: Tenants) -> Principal:
        """Tell whom a cookie stands for. Raises Unauthenticated, also when its key was revoked since."""
        body, _, signature = cookie.rpartition(".")
        key_id, _, expires = body.partition(".")
        valid = hmac.compare_digest(signature.encode(), self._sign(body).encode()) and expires.isdigit() and int(expires) > time.time()
        if not valid:
            raise Unauthenticated("The session is not valid.", remedy="Sign in again.")
        return await tenants.principal_of(key_id)

    def _sign(self, body: str) -> str:
        return hmac.new(self._secret, body.encode(), hashlib.sha256).hexdigest()
