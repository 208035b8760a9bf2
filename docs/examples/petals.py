"""A pipeline as code: lineshaft pipelines apply petals.py"""

from pathlib import Path

from factory_infra.paas.training.pipelines.code import Pipeline

pipeline = Pipeline("petals", parameters={"factor": 2})
data = pipeline.add("data", "data", dataset="flowers")


@pipeline.step(inputs={"rows.csv": data["rows.csv"]}, outputs=["scaled.csv"])
def scale(rows_csv: Path, scaled_csv: Path, factor: int = 2) -> dict[str, int]:
    lines = rows_csv.read_text().splitlines()
    scaled_csv.write_text("\n".join(lines * factor))
    return {"lines": len(lines)}


pipeline.add("enough", "gate", value=scale.field("lines"), above=10)
