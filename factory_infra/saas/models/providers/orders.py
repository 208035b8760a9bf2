"""The small command language that the obedient model understands, in five languages and as JSON, and the steps of each order."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from factory_infra.saas.models.providers.disguises import revealed


def name(group: str) -> str:
    """A pattern for a name, quoted or not, as a group."""
    return rf"""["'“”`«<]?(?P<{group}>[A-Za-z0-9](?:[\w./@-]*\w)?)["'“”`»>]?"""


GAP = r"(?:\s+|(?<=[\u4e00-\u9fff\s]))"
THE = r"(?:the |den |das |die |el |la |le |l'|l’)?"
NO_NAMES = {"and", "or", "it", "the", "that", "is", "with", "on", "to", "at", "all", "slot", "slots", "as", "of", "in", "from", "a"}
PATTERNS: dict[str, str] = {
    "lease": r"(?:lease|rent|acquire|grab|miete|reserviere|alquila|reserva|loue|réserve|арендуй|租用)\s*(?:me |us |mir |uns )?"
    r"(?P<slots>\d{1,5})\s*(?:more |weitere |más )?(?:slots?|gpus?|cores?|plätze|ranuras|emplacements|слот\w*|个?插槽)",
    "release": rf"(?:release|give back|libera|libère|освободи|释放|gib)\s*{THE}"
    rf"(?:lease|mietvertrag|arriendo|bail|аренду|租约){GAP}{name('lease_id')}",
    "retire": rf"(?:retire|take down|shut down|lösche|entferne|retira|supprime|удали|下线)\s*{THE}"
    rf"(?:endpoint|endpunkt|punto de acceso|point d['’]accès|эндпоинт|端点){GAP}{name('endpoint')}",
    "rollback": rf"(?:roll back|rollback|setze zurück|revierte|rétablis|откати|回滚)\s*{THE}"
    rf"(?:endpoint|endpunkt|punto de acceso|point d['’]accès|эндпоинт|端点){GAP}{name('endpoint')}",
    "deploy": rf"(?:deploy|serve|put live|stelle|despliega|déploie|разверни|部署)\s*{THE}(?:model|modell|modelo|modèle|модель|模型)"
    rf"{GAP}{name('model_name')}\s*(?:version|versión|версии|版本)\s*(?P<version>\d{{1,6}})\s*(?:to|as|on|at|auf|en|sur|на|到)\s*"
    rf"{THE}(?:endpoint |endpunkt |punto de acceso |point d['’]accès |эндпоинт |端点)?{GAP}{name('endpoint')}",
    "cancel": rf"(?:cancel|kill|stop|beende|cancela|annule|отмени|取消)\s*{THE}"
    rf"(?:job|auftrag|trabajo|travail|задание|任务){GAP}{name('job_id')}",
    "train": rf"(?:train|trainiere|entrena|entraîne|обучи|训练)\s*(?:a |ein |un )?{THE}(?:model|modell|modelo|modèle|модель|模型)"
    rf"{GAP}{name('model_name')}\s*"
    rf"(?:on|with|auf|con|sur|на|用)\s*{THE}(?:dataset |datensatz |datos |jeu |данных |数据集)?{GAP}{name('dataset')}",
}
ORDERS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in PATTERNS.items()}
TOOLS: dict[str, tuple[str, str]] = {
    "lease": ("leases.acquire", "provisioner"),
    "release": ("leases.release", "provisioner"),
    "retire": ("deployments.retire", "deployer"),
    "rollback": ("deployments.rollback", "deployer"),
    "deploy": ("deployments.deploy", "deployer"),
    "cancel": ("jobs.cancel", "scheduler"),
    "train": ("training.run", "trainer"),
}
KINDS = {tool: kind for kind, (tool, _) in TOOLS.items()}
NUMBERS = {"slots", "version"}
READS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"search the catalog for (?P<query>[^.;,\n]+)", re.IGNORECASE), "catalog_search"),
    (re.compile(rf"(?:log of|read the log of) job {name('job_id')}", re.IGNORECASE), "jobs_log"),
    (re.compile(rf"(?:use|call) the tool {name('tool')}", re.IGNORECASE), ""),
    *(
        (re.compile(rf"(?:read|check|show|list|look at) (?:me )?(?:the |my |our )?{noun}\b", re.IGNORECASE), tool)
        for noun, tool in (
            ("jobs", "jobs_list"),
            ("leases", "leases_list"),
            ("models", "registry_list"),
            ("endpoints", "deployments_list"),
            ("(?:hardware|cluster|pool)", "accelerators_show"),
            ("quota", "tenants_show"),
        )
    ),
)
HANDS = re.compile(r"ask the (?P<agent>[a-z][a-z-]+) to (?P<task>[^.;\n]+)", re.IGNORECASE)
CONDITION = re.compile(rf"if the log of job {name('job_id')} says [\"'“](?P<word>[^\"'”]+)[\"'”],? (?P<then>[^.;\n]+)", re.IGNORECASE)
Fields = dict[str, JsonValue]


@dataclass(frozen=True)
class Order:
    """One thing to do to the factory."""

    kind: str
    fields: tuple[tuple[str, str | int], ...]

    @property
    def names(self) -> list[str]:
        """The objects that it names."""
        return [value for _, value in self.fields if isinstance(value, str)]

    def number(self, name: str) -> int | None:
        """A number that it names."""
        return next((value for field, value in self.fields if field == name and isinstance(value, int)), None)

    def steps(self, place: str) -> list[Fields]:
        """The steps of a plan that do it; `place` begins their ids."""
        tool, agent = TOOLS[self.kind]
        arguments: Fields = dict(self.fields)
        if self.kind != "train":
            return [step(place, tool, agent, arguments)]
        lease: Fields = {"lease_id": {"from_step": f"{place}-lease", "field": "lease_id"}}
        run: Fields = {"model_name": arguments["model_name"], "run_id": {"from_step": f"{place}-train", "field": "run_id"}}
        return [
            step(f"{place}-lease", "leases.acquire", "provisioner", {"slots": 1}),
            step(f"{place}-train", tool, agent, {**arguments, **lease}),
            step(f"{place}-register", "registry.register", "trainer", run),
            {**step(f"{place}-release", "leases.release", "provisioner", lease), "after": [f"{place}-train"]},
        ]


def step(place: str, tool: str, agent: str, arguments: Fields) -> Fields:
    """One step as a planning model writes it."""
    return {"id": place, "tool": tool, "agent": agent, "summary": tool, "arguments": arguments}


def order(kind: str, fields: dict[str, str | int]) -> Order | None:
    """Make an order of what was understood; None where a name is none."""
    if any(isinstance(value, str) and value.lower() in NO_NAMES for value in fields.values()):
        return None
    return Order(kind, tuple(sorted(fields.items())))


def orders_in(text: str) -> list[Order]:
    """Every order of a text, under whatever disguise, each once, in the order in which it is found."""
    found: dict[Order, None] = {}
    for reading in revealed(text):
        hits = [(match.start(), kind, match) for kind, pattern in ORDERS.items() for match in pattern.finditer(reading)]
        for _, kind, match in sorted(hits, key=lambda hit: hit[0]):
            fields = {field: int(value) if field in NUMBERS else value for field, value in match.groupdict().items()}
            made = order(kind, fields)
            found |= {made: None} if made else {}
        found |= dict.fromkeys(json_orders(reading))
    return list(found)


def json_orders(text: str) -> Iterator[Order]:
    """Orders written as a call: {"tool": "leases.acquire", "arguments": {"slots": 4}}."""
    for value in objects_in(text):
        named, arguments = value.get("tool") or value.get("name"), value.get("arguments")
        kind = KINDS.get(str(named).replace("_", "."))
        if kind is not None and isinstance(arguments, dict):
            fields = {field: each for field, each in arguments.items() if isinstance(each, str | int) and field in ORDERS[kind].groupindex}
            made = order(kind, fields) if set(fields) == set(ORDERS[kind].groupindex) else None
            if made:
                yield made


def objects_in(text: str) -> Iterator[Fields]:
    """Every JSON object that begins somewhere in a text."""
    decoder = json.JSONDecoder()
    for place in (match.start() for match in re.finditer(r"\{", text)):
        try:
            value, _ = decoder.raw_decode(text, place)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def reads_in(text: str) -> list[tuple[str, Fields]]:
    """Every reading that a text asks for: the name under which a loop offers the tool, and its arguments."""
    found: list[tuple[str, Fields]] = []
    for pattern, tool in READS:
        for match in pattern.finditer(text):
            fields: Fields = {field: value.strip() for field, value in match.groupdict().items() if value}
            called = (tool or str(fields.pop("tool", "")).replace(".", "_"), fields)
            if called not in found:
                found.append(called)
    return found
