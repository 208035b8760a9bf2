"""Stands in for Feast's process: answers at once, or fails as it is told. Run as a program."""

import json
import os
import sys
from pathlib import Path

from factory_infra.paas.features.wire import Order, Reply, Setup, Trouble


def main() -> None:
    """Answer until the line is closed."""
    Setup.model_validate_json(sys.stdin.readline())
    sys.stdout.write(Reply().model_dump_json() + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = Order.model_validate_json(Path(json.loads(line)["order"]).read_bytes())
        if order.target == "die":
            os._exit(1)
        trouble = Trouble(kind="Conflict", code="feature_part_changed", reason="r", remedy="m") if order.target == "refuse" else None
        sys.stdout.write(Reply(entities=os.getpid(), trouble=trouble).model_dump_json() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
