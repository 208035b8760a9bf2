"""What the factory says by routes of the API, said by the commands that do the same: a person at a terminal has no use for a route."""

import re

COMMANDS = {
    "GET /v1/tenants": "lineshaft teams list",
    "PATCH /v1/tenants/{}": "lineshaft teams change {}",
    "GET /v1/keys": "lineshaft keys list",
    "GET /v1/limits": "lineshaft limits list",
    "GET /v1/lessons": "lineshaft lessons list",
    "GET /v1/plans": "lineshaft plans list",
    "POST /v1/plans/{}/approve": "lineshaft plans approve {}",
    "GET /v1/runs": "lineshaft runs list",
    "GET /v1/jobs": "lineshaft jobs list",
    "GET /v1/leases": "lineshaft leases list",
    "GET /v1/pools": "lineshaft pools list",
    "GET /v1/nodes": "lineshaft nodes list",
    "GET /v1/tools": "lineshaft tools list",
    "GET /v1/tool-servers": "lineshaft tools servers list",
    "GET /v1/endpoints": "lineshaft show endpoints",
}
"""A route of the API to the command that does it; `{}` stands for a name. Routes that no command does stay as they are."""
ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/v1(?:/[\w{}.-]*[\w{}])+)(\?[\w=&-]+)?")


def by_command(text: str) -> str:
    """The text with each route that a command stands for replaced by it."""
    return ROUTE.sub(_command, text)


def _command(match: re.Match[str]) -> str:
    method, path = match[1], match[2]
    for route, command in COMMANDS.items():
        pattern = re.escape(route).replace(r"\{\}", "([^/]+)")
        found = re.fullmatch(pattern, f"{method} {path}")
        if found is not None:
            return f"'{command.format(*found.groups())}'"
    return match[0]
