"""The server of one model version in SageMaker's container: what an image runs that is started with the word `serve`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from factory_infra.paas.deployments.providers.serve import App, Model, Scope, serve
from factory_infra.paas.deployments.providers.wire import ORDER_FILE, Order

MODEL_DIR = Path("/opt/ml/model")
PORT = 8080


class ContainerApp(App):
    """The two routes that SageMaker asks. Only SageMaker reaches them, and it has asked IAM who may."""

    health: ClassVar[str] = "/ping"
    asks: ClassVar[str] = "/invocations"

    def authorise(self, scope: Scope) -> None:
        """Let it in."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Load what SageMaker has unpacked, and serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("serve", nargs="?", help="SageMaker's word for it.")
    parser.add_argument("--model-dir", type=Path, default=MODEL_DIR)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - in its own container
    parser.add_argument("--port", type=int, default=PORT)
    given = parser.parse_args(arguments)
    told = Order.model_validate_json((given.model_dir / ORDER_FILE).read_bytes())
    files = {"model_path": str(given.model_dir / told.model_path), "holdout_path": str(given.model_dir / told.holdout_path)}
    order = told.model_copy(update={**files, "host": given.host, "port": given.port})
    serve(ContainerApp(Model(order), ""), order)


if __name__ == "__main__":
    main()
