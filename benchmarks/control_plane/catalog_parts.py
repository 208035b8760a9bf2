"""100,000 made-up entries of forty teams, and questions about them."""

import asyncio
import random
from collections.abc import Sequence

import numpy as np
from sqlalchemy import insert, literal_column, text, update

from factory_infra.database import utcnow
from factory_infra.factory import Factory
from factory_infra.paas.catalog.models import SHARED, Badge, CatalogEntry, Kind, Visibility
from factory_infra.paas.catalog.service import audiences_of
from factory_infra.paas.catalog.tables import CatalogRow
from factory_infra.paas.catalog.words import Stems, fields, labels, name_key, vector
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.saas.vectors.interface import Document
from factory_infra.saas.vectors.providers.chroma import ChromaVectors

BATCH = 1_000
EMBEDDED = 1_200
"""So many texts are embedded; every other entry's vector is that of a text of the same subject, moved by chance."""
NOISE = 0.35
TEAMS = [f"team-{number:02}" for number in range(40)]
GROUPS = ["north", "south", "east", "west"]
KIND_SHARES: dict[Kind, int] = {
    "dataset": 24, "model": 24, "feature": 14, "endpoint": 12, "pipeline": 10, "document": 8, "service": 4, "tool": 2, "agent": 2
}  # fmt: skip
# fmt: off
SUBJECTS = (
    "churn prediction", "fraud detection", "demand forecasting", "image segmentation", "speech recognition", "document layout",
    "price optimisation", "route planning", "predictive maintenance", "sentiment analysis", "object tracking", "credit scoring",
    "click-through rate", "anomaly detection", "machine translation", "product matching", "inventory levels", "energy load",
    "weather radar", "satellite tiles", "medical imaging", "protein folding", "drug interaction", "customer segmentation",
    "support tickets", "search ranking", "music recommendation", "video moderation", "road signs", "crop disease", "wind turbines",
    "battery ageing", "network intrusion", "invoice extraction", "contract clauses", "handwriting", "barcode reading", "gesture control",
    "air quality", "traffic flow", "water leakage", "steel defects", "wafer maps", "call transcripts", "emotion in voices",
    "loan defaults", "insurance claims", "returns of parcels", "delivery times", "warehouse robots",
)
# fmt: on
# fmt: off
OBJECTS = (
    "customers", "shops", "vehicles", "sensors", "patients", "orders", "images", "recordings", "contracts", "machines", "buildings",
    "farms", "ships", "accounts", "messages", "visits", "products", "streets", "turbines", "claims", "films", "songs", "wafers",
    "letters", "parcels",
)
# fmt: on
# fmt: off
MANNERS = (
    "hourly", "daily", "weekly", "regional", "global", "anonymised", "balanced", "noisy", "curated", "synthetic", "streaming",
    "multilingual", "calibrated", "distilled", "quantised", "explainable", "low-latency", "seasonal", "weakly labelled", "deduplicated",
)
# fmt: on
# fmt: off
PLACES = (
    "Oslo", "Lisbon", "Kyoto", "Nairobi", "Lima", "Boston", "Turin", "Gdansk", "Perth", "Busan", "Quito", "Lyon", "Malmö", "Ghent",
    "Porto", "Izmir", "Leeds", "Graz", "Pune", "Fez",
)
# fmt: on


class Maker:
    """Entries by chance from a seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - made-up data

    def entry(self, number: int) -> CatalogEntry:
        """One entry; its number makes its name its own."""
        pick = self._chance
        subject, thing, manner, place = pick.choice(SUBJECTS), pick.choice(OBJECTS), pick.choice(MANNERS), pick.choice(PLACES)
        kind = pick.choices(list(KIND_SHARES), list(KIND_SHARES.values()))[0]
        tenant = SHARED if pick.random() < 0.1 else pick.choice(TEAMS)
        visibility: Visibility = pick.choices(("team", "organisation", "shared", "private"), (60, 22, 13, 5))[0]
        name = f"{subject.replace(' ', '-')}-{place.lower()}-{number}"
        return CatalogEntry(
            id=f"{kind}/{tenant}/{name}",
            kind=kind,
            tenant=tenant,
            name=name,
            version=str(pick.randint(1, 9)),
            owner=f"person-{pick.randint(0, 400)}",
            description=f"{manner.capitalize()} {subject} for {thing} in {place}, kept by {tenant}: {pick.choice(MANNERS)} and "
            f"{pick.choice(MANNERS)}, checked against {pick.choice(OBJECTS)}.",
            tags=[subject.split()[0], manner.split()[0], f"series-{number % 1000}"],
            badges=[Badge(name="quality", value="", level=pick.choice(("good", "fair", "poor")))],
            facts={"rows": pick.randint(100, 10_000_000), "place": place},
            visibility=visibility if tenant != SHARED else "team",
        )

    def question(self) -> str:
        """What somebody may ask, in words that are no entry's own."""
        pick = self._chance
        subject, thing, manner, place = pick.choice(SUBJECTS), pick.choice(OBJECTS), pick.choice(MANNERS), pick.choice(PLACES)
        return pick.choice(
            (
                f"is there something {manner} about {subject} in {place}",
                f"{subject} {thing}",
                f"which model does {subject} for {thing}",
                f"data on {thing} near {place} that is {manner}",
                f"I need an endpoint that answers {subject} questions about {thing}",
                f"{manner} {subject} {place} {pick.randint(1, 10**6)}",
                f"how do we do {subject} when {thing} are {manner}",
                f"{subject.replace(' ', '-')}-{place.lower()}-{pick.randint(0, 10**5)}",
                f"who keeps the {pick.choice(MANNERS)} {thing} of {place}?",
                subject,
            )
        )


async def fill(factory: Factory, entries: Sequence[CatalogEntry]) -> None:
    """Write teams, entries, and the index, as the worker would have left them."""
    async with factory.database.transaction() as session:
        for group in GROUPS:
            await session.execute(
                text("INSERT INTO organisations (name, title, revision, created_at) VALUES (:n, '', 1, now())"), {"n": group}
            )
        rows = [{"name": team, "budget": 1, "organisation": GROUPS[place % 4]} for place, team in enumerate(TEAMS)]
        await session.execute(insert(TenantRow), rows)
    stems = Stems()
    for start in range(0, len(entries), BATCH):
        await write(factory, entries[start : start + BATCH], stems)
    await index(factory, entries)
    async with factory.database.transaction() as session:
        await session.execute(update(CatalogRow).values(indexed_at=literal_column("updated_at")))
    async with factory.database.reading() as connection:
        await connection.execute(text("VACUUM ANALYZE catalog_entries"))


async def write(factory: Factory, batch: Sequence[CatalogEntry], stems: Stems) -> None:
    """The rows of some entries, as `Catalog.put` would write them."""
    now, rows = utcnow(), []
    async with factory.database.transaction() as session:
        for entry in batch:
            weighed = fields(entry, "")
            await stems.learn(session, [word for words in weighed.values() for word in words])
            words = vector(weighed, stems, labels(entry))
            kept = {"name_key": name_key(entry.name), "words": words, "updated_at": now, "indexed_at": now, "removed_at": None}
            rows.append({**entry.model_dump(mode="json"), **kept, "indexed_in": [entry.tenant]})
        await session.execute(insert(CatalogRow), rows)


async def index(factory: Factory, entries: Sequence[CatalogEntry]) -> None:
    """The vectors. Real texts are embedded by the real model; all other entries lie around the one of their subject."""
    real = entries[: min(EMBEDDED, max(200, len(entries) // 4))]
    known = np.array(await factory.embeddings.embed([f"{each.name}. {each.description}" for each in real]), dtype=np.float32)
    by_subject: dict[str, list[int]] = {}
    for place, entry in enumerate(real):
        by_subject.setdefault(entry.tags[0], []).append(place)
    everywhere = list(range(len(real)))
    chance = np.random.default_rng(7)
    parts: dict[str, list[CatalogEntry]] = {}
    groups = {team: GROUPS[place % 4] for place, team in enumerate(TEAMS)}
    for entry in entries:
        for audience in audiences_of(entry, groups.get(entry.tenant), []):
            parts.setdefault(audience, []).append(entry)
    store = ChromaVectors(factory.settings.chroma_url or "", factory.embeddings)
    for audience, part in parts.items():
        for start in range(0, len(part), BATCH):
            some = part[start : start + BATCH]
            near = known[[chance.choice(by_subject.get(each.tags[0], everywhere)) for each in some]]
            moved = near + chance.normal(scale=NOISE / np.sqrt(near.shape[1]), size=near.shape)
            vectors = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).round(5).tolist()
            await store.store(audience, [Document(id=each.id, tenant=audience, text="") for each in some], vectors)
        await asyncio.sleep(0)
    await store.close()
