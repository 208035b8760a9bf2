"""Which playbook is meant: similarity of the words with their names masked, strong verbs, things, and whether what is named has a slot."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from agents.planning.mentions import Understood
from agents.planning.playbook import Playbook
from factory_infra.errors import LineshaftError
from factory_infra.saas.vectors.interface import Embeddings

MASKS = {
    "team": "the team",
    "dataset": "dataset",
    "model": "the model",
    "endpoint": "the endpoint",
    "job": "the job",
    "lease": "the lease",
    "count": "some slots",
    "threshold": "the threshold",
    "version": "version number",
    "duration": "a while",
    "algorithm": "the algorithm",
    "number": "some",
    "endpoint_name": "the endpoint",
    "model_name": "the model",
    "money": "money",
    "delay": "later",
    "pool": "the pool",
}
NAMELESS = {**MASKS, **dict.fromkeys(("dataset", "model", "endpoint", "endpoint_name", "model_name"), "it")}
"""As lessons are compared: what 'digits' names changes as models are made and put live, and the words mean the same."""
_TEXT_MAX = 600
SEEN_MAX = 2000
_RELATED = {"model": {"dataset", "endpoint"}, "endpoint": {"dataset", "model"}, "dataset": {"model"}}


def masked(understood: Understood, masks: Mapping[str, str] = MASKS) -> str:
    """The text with each name and number replaced by its kind, so that what is asked counts and not for whom."""
    text, place, pieces = understood.text, 0, []
    for mention in understood.mentions:
        if mention.start < place:
            continue
        pieces += [text[place : mention.start], masks.get(mention.senses[0].kind.removeprefix("unknown_"), mention.text)]
        place = mention.end
    return re.sub(r"\s+", " ", "".join([*pieces, text[place:]]))[:_TEXT_MAX]


def _grams(text: str) -> Counter[str]:
    padded = f"  {text} "
    return Counter(padded[i : i + 4] for i in range(len(padded) - 3))


def _cosine(a: Counter[str], b: Counter[str]) -> float:
    dot = sum(count * b[gram] for gram, count in a.items())
    return dot / math.sqrt(sum(c * c for c in a.values()) * sum(c * c for c in b.values()) or 1)


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


class Similarity:
    """How near a text is to each playbook's examples: by embeddings where they answer, else by shared letters."""

    def __init__(self, playbooks: list[Playbook], embeddings: Embeddings | None) -> None:
        self._playbooks, self._embeddings = playbooks, embeddings
        self._grams = {p.name: [_grams(example) for example in p.examples] for p in playbooks}
        self._vectors: dict[str, list[list[float]]] | None = None
        self._seen: dict[str, list[float]] = {}

    async def of(self, text: str) -> dict[str, float]:
        """A number between 0 and 1 for each playbook."""
        if self._embeddings is not None:
            try:
                return await self._embedded(text, self._embeddings)
            except LineshaftError:
                self._vectors = None
        grams = _grams(text)
        return {name: max(_cosine(grams, example) for example in examples) for name, examples in self._grams.items()}

    async def _embedded(self, text: str, embeddings: Embeddings) -> dict[str, float]:
        if self._vectors is None:
            flat = [example for p in self._playbooks for example in p.examples]
            vectors = iter(await embeddings.embed(flat))
            self._vectors = {p.name: [next(vectors) for _ in p.examples] for p in self._playbooks}
        (asked,) = await self._vectors_of([text], embeddings)
        return {name: max(_dot(asked, vector) for vector in vectors) for name, vectors in self._vectors.items()}

    async def near(self, text: str, anchors: Sequence[str]) -> list[float]:
        """How near a text is to each of other texts, by the same measure."""
        if self._embeddings is not None and anchors:
            try:
                asked, *vectors = await self._vectors_of([text, *anchors], self._embeddings)
                return [_dot(asked, vector) for vector in vectors]
            except LineshaftError:
                self._vectors = None
        grams = _grams(text)
        return [_cosine(grams, _grams(anchor)) for anchor in anchors]

    async def _vectors_of(self, texts: Sequence[str], embeddings: Embeddings) -> list[list[float]]:
        """Vectors of texts; those of a turn and of what a team was taught come again and again, and are kept."""
        if len(self._seen) > SEEN_MAX:
            self._seen.clear()
        fresh = [text for text in dict.fromkeys(texts) if text not in self._seen]
        if fresh:
            self._seen.update(zip(fresh, await embeddings.embed(fresh), strict=True))
        return [self._seen[text] for text in texts]


def score(playbook: Playbook, understood: Understood, similarity: float) -> float:
    """How well a playbook fits; comparable between playbooks for one text only."""
    return (
        _verbs(playbook, understood)
        + _things(playbook, understood)
        + _names(playbook, understood)
        + _mood(playbook, understood)
        + similarity
    )


def _verbs(playbook: Playbook, understood: Understood) -> float:
    does, allowed = set(playbook.does), {*playbook.does, *playbook.mentions}
    said = [set(a.concepts) for a in understood.actions if not a.negated]
    if does & understood.forbidden:
        return -3.0
    done = does & understood.asked
    worth = 1.2 * len(done) / len(does)
    strange = [concepts for concepts in said if not concepts & allowed]
    direct = [concepts for concepts in said if concepts & does]
    return worth - (0.45 if playbook.effectful else 0.7) * min(len(strange), 3) + 0.05 * min(len(direct), 3)


def _things(playbook: Playbook, understood: Understood) -> float:
    about = set(playbook.about)
    if not about:
        return 0.0
    return 0.5 * len(about & understood.things) / math.sqrt(len(about))


def _names(playbook: Playbook, understood: Understood) -> float:
    types = {spec.type for spec in playbook.slots.values()} | {"team"}
    fit = 0.0
    for mention in understood.mentions:
        kinds = {sense.kind.removeprefix("unknown_").removesuffix("_name") for sense in mention.senses}
        reach = kinds | {other for kind in kinds for other in types if kind in _RELATED.get(other, set())}
        fit += 0.12 if reach & types else (-0.25 if playbook.effectful else -0.05)
    return max(fit, -0.9)


def _mood(playbook: Playbook, understood: Understood) -> float:
    if understood.hypothetical:
        return 0.0 if playbook.effectful else -0.6
    if not understood.asked and not understood.of_kind("count"):
        return -0.4 if playbook.effectful else 0.1
    if not understood.question:
        return 0.0
    return -0.35 if playbook.effectful else 0.35
