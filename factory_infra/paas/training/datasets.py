"""The datasets that ship: facts about each, without loading the library that carries them."""

from factory_infra.errors import InvalidInput
from factory_infra.paas.catalog.models import Dataset

DATASETS = (
    Dataset(
        name="digits",
        description="Handwritten digits: 1,797 grey images of 8 by 8 pixels, each one of the numerals 0 to 9.",
        rows=1797,
        features=64,
        classes=10,
        aliases=["digit", "handwritten digits", "handwriting", "numerals", "written numbers", "optical digits", "mnist"],
    ),
    Dataset(
        name="iris",
        description="Iris flowers: 150 plants of three species by the length and width of their sepals and petals in cm.",
        rows=150,
        features=4,
        classes=3,
        aliases=["irises", "flowers", "flower", "iris flowers", "petals", "plants"],
    ),
    Dataset(
        name="wine",
        description="Wines of three cultivars from one region of Italy: 178 bottles by 13 chemical measurements.",
        rows=178,
        features=13,
        classes=3,
        aliases=["wines", "cultivars", "grapes", "wine cultivars", "vineyard"],
    ),
    Dataset(
        name="breast_cancer",
        description="Breast cancer in Wisconsin: 569 tumours, malignant or benign, by 30 measurements of their cell nuclei.",
        rows=569,
        features=30,
        classes=2,
        aliases=["breast cancer", "cancer", "tumor", "tumour", "tumors", "tumours", "wisconsin", "malignant or benign"],
    ),
)


def dataset_named(name: str) -> Dataset:
    """Return a dataset by its name. Raises InvalidInput (dataset_unknown), which lists those that exist."""
    for dataset in DATASETS:
        if dataset.name == name:
            return dataset
    known = ", ".join(dataset.name for dataset in DATASETS)
    raise InvalidInput(f"There is no dataset {name[:80]!r}.", remedy=f"Choose one of: {known}.", code="dataset_unknown")
