"""Signing in through a provider of identities: who the person is there becomes what the person may here."""

from urllib.parse import urlsplit

from factory_infra.errors import NotFound
from factory_infra.paas.tenants.directory import Directory
from factory_infra.paas.tenants.groups import load_groups
from factory_infra.paas.tenants.members import Members
from factory_infra.paas.tenants.models import Principal
from factory_infra.paas.tenants.oidc import Attempt, Oidc, OidcClient
from factory_infra.settings import Settings


class SignIn:
    """The one way in for people without a key. Without an issuer in the settings there is none."""

    def __init__(self, settings: Settings, members: Members, directory: Directory) -> None:
        self._settings = settings
        self._members = members
        self._directory = directory
        self._oidc: Oidc | None = None

    @property
    def redirect(self) -> str:
        """Where the provider sends the browser back to: it must know this address."""
        return f"{self._settings.own_url}/v1/sign-in/callback"

    @property
    def host(self) -> str | None:
        """The host at which people sign in; None where there is no provider."""
        return None if self._settings.oidc_issuer is None else urlsplit(self._settings.oidc_issuer).hostname

    async def begin(self) -> tuple[str, Attempt]:
        """Return where the browser is sent, and what its return is held to. Raises NotFound where there is no provider, Unavailable."""
        return await self._provider().begin(self.redirect)

    async def finish(self, attempt: Attempt, state: str, code: str) -> Principal:
        """Return who has come back. The roles that came with groups are from now on those of the groups that the provider named.

        Raises Unauthenticated, Unavailable, Forbidden for a person who is a member of nothing, InvalidInput for a file of groups
        that cannot be used.
        """
        identity = await self._provider().finish(attempt, state, code, self.redirect)
        groups = load_groups(self._settings.oidc_groups or self._settings.home / "groups.yaml")
        await self._members.from_groups(identity.subject, identity.name, groups.members(identity.subject, identity.name, identity.groups))
        return await self._directory.person(identity.subject, None)

    def _provider(self) -> Oidc:
        settings = self._settings
        if settings.oidc_issuer is None:
            raise NotFound(
                "No provider of identities is set here.", remedy="Sign in with a key, or set LINESHAFT_OIDC_ISSUER.", code="oidc_not_set"
            )
        if self._oidc is None:
            self._oidc = Oidc(
                OidcClient(
                    issuer=settings.oidc_issuer,
                    client_id=settings.oidc_client_id,
                    secret=settings.oidc_client_secret,
                    scopes=settings.oidc_scopes,
                    groups_claim=settings.oidc_groups_claim,
                    name_claim=settings.oidc_name_claim,
                )
            )
        return self._oidc

    async def close(self) -> None:
        """Give connections back."""
        if self._oidc is not None:
            await self._oidc.close()
