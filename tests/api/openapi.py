"""The routes as the OpenAPI document names them. `python -m tests.api.openapi` writes the snapshot anew."""

import json
from pathlib import Path

from api.app import build_app
from factory_infra.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")


def routes() -> list[str]:
    """Every path with its methods."""
    paths = build_app(Settings(home=Path("unused"), model="none")).openapi()["paths"]
    return sorted(f"{path} {' '.join(sorted(methods)).upper()}" for path, methods in paths.items())


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(routes(), indent=1) + "\n")
