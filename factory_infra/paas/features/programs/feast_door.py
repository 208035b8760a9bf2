"""The process that loads Feast: `python -m factory_infra.paas.features.programs.feast_door`. One order a line, one answer a line."""

import json
import os
import select
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import pandas as pd

from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.paas.features.models import EVENT
from factory_infra.paas.features.offline import ENTITY, OfflineFiles
from factory_infra.paas.features.programs.definitions import Stores
from factory_infra.paas.features.programs.joining import join
from factory_infra.paas.features.programs.layout import NEXT, history, laid_out
from factory_infra.paas.features.rows import entity_text
from factory_infra.paas.features.wire import Order, Reply, Setup, Trouble, feast_name

IDLE_SECONDS = 900.0
"""It holds about 300 MB, so it ends when nobody has asked for so long; the next order starts another."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Door:
    """Carries orders out."""

    def __init__(self, setup: Setup) -> None:
        self._stores = Stores(setup.database_url, Path(setup.scratch))
        self._files = OfflineFiles(setup.features_url)

    def answer(self, order: Order) -> Reply:
        """Do one thing. Raises LineshaftError."""
        if order.kind == "join":
            if order.wanted is None:
                raise InvalidInput("A join must say what is wanted.", remedy="Say it.")
            return Reply(joined=join(self._stores, self._files, order.sources, order.wanted, Path(order.target)))
        [sources] = order.sources
        if order.kind == "apply":
            self._stores.apply(sources.view)
            return Reply()
        return self.materialised(order) if order.kind == "materialise" else self.read(order)

    def materialised(self, order: Order) -> Reply:
        """Bring the newest row of each entity into readings, by Feast."""
        [sources] = order.sources
        end = order.end or datetime.now(UTC)
        rows = history(sources, self._files)
        rows = rows[rows[EVENT] <= pd.Timestamp(end) + pd.Timedelta(NEXT, unit="ns")]
        store = self._stores.apply(sources.view)
        if len(rows):
            with laid_out(rows, self._stores.laid_out(sources.view)):
                store.materialize(EPOCH, end + timedelta(microseconds=1), feature_views=[feast_name(sources.view)])
        return Reply(entities=int(rows[ENTITY].nunique()))

    def read(self, order: Order) -> Reply:
        """What Feast's own reading tells: tests and the benchmark compare it with ours."""
        [sources] = order.sources
        names = [each.name for each in sources.view.features]
        told = (
            self._stores.apply(sources.view)
            .get_online_features(
                features=[f"{feast_name(sources.view)}:{name}" for name in names],
                entity_rows=[{ENTITY: entity_text(entity)} for entity in order.entities],
            )
            .to_dict()
        )
        return Reply(values=[{name: told[name][number] for name in names} for number in range(len(order.entities))])


def main() -> None:
    """Answer until the asker closes the line or asks nothing for long."""
    warnings.simplefilter("ignore")
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    door = Door(Setup.model_validate_json(sys.stdin.readline()))
    say(answers, Reply())
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        say(answers, carried_out(door, Path(json.loads(line)["order"])))


def carried_out(door: Door, path: Path) -> Reply:
    """The answer to the order in a file, or what went wrong."""
    try:
        return door.answer(Order.model_validate_json(path.read_bytes()))
    except LineshaftError as error:
        return Reply(trouble=Trouble(kind=type(error).__name__, code=error.error_code, reason=error.reason, remedy=error.remedy))
    except Exception as error:  # noqa: BLE001 - the edge of the process: whatever Feast raises is told to who asked, who goes on
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        remedy = "Read the log of the process that asked; the rows are safe."
        reason = f"Feast could not do it: {type(error).__name__}: {str(error)[:300]}"
        return Reply(trouble=Trouble(kind="EffectFailed", code="feast_failed", reason=reason, remedy=remedy))


def say(answers: TextIO, reply: Reply) -> None:
    """Write one answer."""
    answers.write(reply.model_dump_json() + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
