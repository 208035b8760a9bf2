"""Who may make, turn over and end which keys. A team's approvers care for its users' keys, administrators for all."""

from datetime import datetime

from factory_infra.database import utcnow
from factory_infra.errors import Forbidden, InvalidInput
from factory_infra.paas.tenants.directory import Granted
from factory_infra.paas.tenants.models import ApiKey, KeyTerms, Principal, Role


def check_expiry(expires_at: datetime | None) -> None:
    """Raise InvalidInput for a moment that is over."""
    if expires_at is not None and expires_at <= utcnow():
        raise InvalidInput("The key would have expired before it was made.", remedy="Name a later moment.", code="expiry_invalid")


def check_making(maker: ApiKey, role: Role, terms: KeyTerms, expires_at: datetime | None) -> None:
    """Raise Forbidden unless one key may make another with these terms, InvalidInput for a moment of expiry that is over.

    An approver makes keys of viewers, users and operators only: one that could make approvers' keys would approve twice. And nobody
    hands out more than they hold: not another project, model, scope or role of one's own, and nothing that outlives their own key.
    """
    check_expiry(expires_at)
    if maker.role is Role.ADMIN:
        return
    check_caring(maker, role)
    if not terms.scopes <= set(maker.scopes):
        raise _beyond("a scope")
    if maker.custom_role and terms.custom_role != maker.custom_role:
        raise _beyond("another role")
    if maker.project and terms.project != maker.project:
        raise _beyond("another project")
    if maker.models is not None and (terms.models is None or not terms.models <= set(maker.models)):
        raise _beyond("a model")
    if maker.expires_at is not None and (expires_at is None or expires_at > maker.expires_at):
        raise _beyond("a later end")


def check_caring(asker: ApiKey, role: Role) -> None:
    """Raise Forbidden unless a key may rotate or revoke keys of a role in its own team."""
    if asker.role is Role.ADMIN:
        return
    if not asker.role.reaches(Role.APPROVER) or not Role.OPERATOR.reaches(role):
        raise Forbidden(
            f"A key with the role {asker.role} cares for no key with the role {role}.",
            remedy="Approvers care for keys of viewers, users and operators of their team; ask an administrator for the others.",
        )


def check_account(asker: Principal, role: str, project: str, granted: Granted) -> None:
    """Raise Forbidden unless an asker may make and end a service account with a role: nobody hands out more than they hold."""
    if asker.role is Role.ADMIN:
        return
    if not asker.role.reaches(Role.APPROVER) or not Role.OPERATOR.reaches(granted.counts_as):
        remedy = "Approvers care for accounts up to the role of an operator; ask an administrator for the others."
        raise Forbidden(f"A {asker.role} cares for no service account with the role {role}.", remedy=remedy)
    if asker.custom_role and role != asker.custom_role:
        raise _beyond("another role")
    if asker.project and project != asker.project:
        raise _beyond("another project")


def _beyond(what: str) -> Forbidden:
    return Forbidden(f"The new key would have {what} that yours does not have.", remedy="Ask for less, or ask an administrator.")
