"""Every permission that there is, read from the routes themselves: a new route is one more, without a list to forget. And the gateway's."""

from collections.abc import Mapping

from fastapi import FastAPI

from factory_infra.paas.tenants.permissions import CALL_MODELS, permission_of


def known_permissions(app: FastAPI) -> Mapping[str, list[str]]:
    """The permissions, each with the routes that ask for it."""
    found: dict[str, list[str]] = {CALL_MODELS: ["every door of the gateway"]}
    for path, methods in sorted(app.openapi()["paths"].items()):
        for method in sorted(methods):
            found.setdefault(permission_of(method.upper(), path), []).append(f"{method.upper()} {path}")
    return found
