"""Who asks, and what it may: bearer tokens, impersonation and RBAC, as the API server decides them."""

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.emulators.kubernetes.store import Obj, Refusal, Store

MASTERS = "system:masters"
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ask:
    """What is asked: a verb on a resource, perhaps of one name, or on a path."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""

    def refusal(self, user: User) -> Refusal:
        """In the words of the API server."""
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        named = f' "{self.name}"' if self.name else ""
        return Refusal(
            403,
            "Forbidden",
            f'{self.resource}{"." + self.group if self.group else ""}{named} is forbidden: User "{user.name}" cannot {self.verb} '
            f'resource "{self.resource}" in API group "{self.group}"{where}',
        )


@dataclass
class Doorman:
    """Knows the tokens and reads the roles."""

    store: Store
    rbac: bool = True
    _tokens: dict[str, tuple[User, float]] = field(default_factory=dict)

    def issue(self, user: User, seconds: float = 3600.0) -> str:
        """Make a token."""
        token = secrets.token_urlsafe(24)
        self._tokens[token] = (user, time.time() + seconds)
        return token

    def issue_account(self, namespace: str, name: str, seconds: float = 3600.0) -> str:
        """Make a token of a service account."""
        return self.issue(account(namespace, name), seconds)

    def revoke(self, token: str) -> None:
        """Let a token have expired."""
        self._tokens[token] = (self._tokens[token][0], 0.0)

    def known(self, token: str) -> User | None:
        """Whose token it is, if it is still good and its service account exists."""
        user, until = self._tokens.get(token, (User(""), 0.0))
        if until < time.time():
            return None
        parts = user.name.split(":")
        if user.name.startswith("system:serviceaccount:") and self.store.get("serviceaccounts", parts[2], parts[3]) is None:
            return None
        return user

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """Who asks. Raises Refusal 401, or 403 for an impersonation that is not allowed."""
        token = headers.get("Authorization", "").removeprefix("Bearer ").strip()
        user = self.known(token)
        if user is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        as_user = headers.get("Impersonate-User", "")
        if not as_user:
            return user
        self.demand(user, Ask("impersonate", resource="users", name=as_user))
        parts = as_user.split(":")
        if as_user.startswith("system:serviceaccount:") and len(parts) == 4:
            return account(parts[2], parts[3])
        return User(as_user, ("system:authenticated",))

    def demand(self, user: User, ask: Ask) -> None:
        """Raise Refusal 403 unless it is allowed."""
        if not self.allows(user, ask):
            raise ask.refusal(user)

    def allows(self, user: User, ask: Ask) -> bool:
        """Whether a role of the user, in the namespace or in the cluster, allows it."""
        return not self.rbac or MASTERS in user.groups or any(covers(rule, ask) for rule in self.rules(user, ask.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[Obj]:
        """Every rule that counts for a user."""
        for binding in self.store.peek("clusterrolebindings"):
            if names(binding, user):
                yield from self._role(binding["roleRef"], "")
        for binding in self.store.peek("rolebindings", namespace) if namespace else ():
            if names(binding, user):
                yield from self._role(binding["roleRef"], namespace)

    def _role(self, ref: Obj, namespace: str) -> list[Obj]:
        if ref["kind"] == "ClusterRole":
            found = self.store.get("clusterroles", "", ref["name"])
        else:
            found = self.store.get("roles", namespace, ref["name"])
        return list((found or {}).get("rules") or [])

    def may_grant(self, user: User, plural: str, namespace: str, body: Obj) -> None:
        """Raise Refusal 403 where a role or binding would give more than its maker has."""
        if MASTERS in user.groups or not self.rbac or plural not in {"roles", "rolebindings", "clusterroles", "clusterrolebindings"}:
            return
        if plural in {"roles", "clusterroles"}:
            wanted, verb, name, resource = body.get("rules") or [], "escalate", body["metadata"]["name"], plural
        else:
            ref = body["roleRef"]
            wanted, verb, name = self._role(ref, namespace), "bind", ref["name"]
            resource = "clusterroles" if ref["kind"] == "ClusterRole" else "roles"
        if self.allows(user, Ask(verb, RBAC, resource, namespace, name)):
            return
        for ask in asks_of(wanted, namespace):
            if not self.allows(user, ask):
                raise Refusal(
                    403,
                    "Forbidden",
                    f'{plural}.{RBAC} "{body["metadata"]["name"]}" is forbidden: user "{user.name}" is attempting to grant RBAC '
                    f"permissions not currently held: {ask.verb} {ask.resource}",
                )


def account(namespace: str, name: str) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


def names(binding: Obj, user: User) -> bool:
    """Whether a binding is for this user."""
    for subject in binding.get("subjects") or []:
        if subject["kind"] == "ServiceAccount":
            space = subject.get("namespace") or binding["metadata"].get("namespace", "")
            if user.name == f"system:serviceaccount:{space}:{subject['name']}":
                return True
        elif subject["name"] in {user.name, *user.groups}:
            return True
    return False


def covers(rule: Obj, ask: Ask) -> bool:
    """Whether one rule allows what is asked."""

    def has(field_name: str, value: str) -> bool:
        listed = rule.get(field_name) or []
        return "*" in listed or value in listed

    named = rule.get("resourceNames") or []
    return (
        has("verbs", ask.verb)
        and has("apiGroups", ask.group)
        and has("resources", ask.resource)
        and (not named or (bool(ask.name) and ask.name in named))
    )


def asks_of(rules: list[Obj], namespace: str) -> Iterator[Ask]:
    """Everything that rules allow, one by one."""
    for rule in rules:
        for verb in rule.get("verbs", []):
            for group in rule.get("apiGroups", []):
                for resource in rule.get("resources", []):
                    for name in rule.get("resourceNames") or [""]:
                        yield Ask(verb, group, resource, namespace, name)
