"""The job that checks rows: `python validate.py` beside rows.csv and rules.json. Standard library only: it runs in any pool."""

import csv
import json
import math
import sys
from pathlib import Path


def refuse(line: int, reason: str) -> None:
    """Say what does not hold, in which line, and end."""
    words = f"rows.csv, line {line}: {reason}."
    told = {"code": "data_invalid", "reason": words, "remedy": "Mend the data or the rule, and add the data as a new version."}
    Path("refusal.json").write_text(json.dumps(told), encoding="utf-8")
    sys.exit(words)


def number(cell: str) -> float | None:
    """A cell as a finite number, None for anything else."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class Rule:
    """What must hold of one column."""

    def __init__(self, name: str, said: dict[str, object]) -> None:
        self._name = name
        self._kind, self._gaps = said.get("kind"), bool(said.get("gaps"))
        self._low, self._high = said.get("min"), said.get("max")
        wanted = said.get("one_of")
        self._one_of = set(map(str, wanted)) if isinstance(wanted, list) and wanted else None
        self._seen: dict[str, int] | None = {} if said.get("unique") else None

    def check(self, line: int, cell: str) -> None:
        """Refuse a cell that breaks the rule."""
        if cell == "":
            if not self._gaps:
                refuse(line, f"column {self._name!r} has nothing")
            return
        value = number(cell)
        bounded = isinstance(self._low, int | float) or isinstance(self._high, int | float)
        if value is None and (self._kind == "number" or bounded):
            refuse(line, f"column {self._name!r} has {cell[:60]!r}, which is no number")
        if isinstance(self._low, int | float) and value is not None and value < self._low:
            refuse(line, f"column {self._name!r} has {cell[:60]}, less than {self._low:g}")
        if isinstance(self._high, int | float) and value is not None and value > self._high:
            refuse(line, f"column {self._name!r} has {cell[:60]}, more than {self._high:g}")
        if self._one_of is not None and cell not in self._one_of:
            refuse(line, f"column {self._name!r} has {cell[:60]!r}, which is none of those allowed")
        if self._seen is not None and self._seen.setdefault(cell, line) != line:
            refuse(line, f"column {self._name!r} has {cell[:60]!r} again, as in line {self._seen[cell]}")


def main() -> None:
    """Read every row once; leave how many there are."""
    said = json.loads(Path("rules.json").read_text(encoding="utf-8"))
    rules = {name: Rule(name, rule) for name, rule in said["columns"].items()}
    with Path("rows.csv").open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader, [])
        missing = [name for name in rules if name not in header]
        if missing:
            refuse(1, f"there is no column {missing[0]!r}; there are: {', '.join(header)[:300]}")
        strangers = [name for name in header if name not in rules] if said["only"] else []
        if strangers:
            refuse(1, f"column {strangers[0]!r} is not among those that are allowed")
        places = [(header.index(name), rule) for name, rule in rules.items()]
        rows = 0
        for cells in reader:
            if not cells:
                continue
            rows += 1
            if len(cells) != len(header):
                refuse(reader.line_num, f"it has {len(cells)} fields, the header has {len(header)}")
            for place, rule in places:
                rule.check(reader.line_num, cells[place])
        if rows < said["rows_min"] or (said["rows_max"] is not None and rows > said["rows_max"]):
            most = f" to {said['rows_max']}" if said["rows_max"] is not None else " or more"
            refuse(reader.line_num, f"there are {rows} rows, and there must be {said['rows_min']}{most}")
    Path("result.json").write_text(json.dumps({"rows": rows, "columns": len(header)}), encoding="utf-8")


if __name__ == "__main__":
    main()
