"""The job that compares predictions with the truth: `python evaluate.py` beside rows.csv and rules.json. Standard library only."""

import csv
import json
import sys
from collections import Counter
from pathlib import Path


def refuse(reason: str) -> None:
    """Say why it cannot be measured, and end."""
    told = {"code": "data_invalid", "reason": f"rows.csv, {reason}.", "remedy": "Have the step before leave both columns, with rows."}
    Path("refusal.json").write_text(json.dumps(told), encoding="utf-8")
    sys.exit(reason)


def f1_macro(pairs: Counter[tuple[str, str]]) -> float:
    """The mean over all classes of the harmonic mean of precision and recall; a class that is never predicted counts nought."""
    classes = sorted({name for pair in pairs for name in pair})
    scores = []
    for name in classes:
        hit = pairs[name, name]
        true = sum(count for (truth, _), count in pairs.items() if truth == name)
        said = sum(count for (_, predicted), count in pairs.items() if predicted == name)
        scores.append(2 * hit / (true + said) if true + said else 0.0)
    return sum(scores) / len(scores)


def main() -> None:
    """Count pairs of truth and prediction, and leave what follows."""
    said = json.loads(Path("rules.json").read_text(encoding="utf-8"))
    pairs: Counter[tuple[str, str]] = Counter()
    with Path("rows.csv").open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        for wanted in (said["truth"], said["predicted"]):
            if wanted not in (reader.fieldnames or []):
                refuse(f"line 1: there is no column {wanted!r}")
        for row in reader:
            if row[said["truth"]] is None or row[said["predicted"]] is None:
                refuse(f"line {reader.line_num}: it has too few fields")
            pairs[row[said["truth"]], row[said["predicted"]]] += 1
    rows = pairs.total()
    if not rows:
        refuse("line 1: there are no rows")
    right = sum(count for (truth, predicted), count in pairs.items() if truth == predicted)
    metrics = {"accuracy": right / rows, "f1_macro": f1_macro(pairs), "rows": rows}
    for name in ("metrics.json", "result.json"):
        Path(name).write_text(json.dumps(metrics), encoding="utf-8")


if __name__ == "__main__":
    main()
