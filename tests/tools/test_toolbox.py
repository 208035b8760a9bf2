"""The toolbox as a whole: names, effects, undo words, and the schema that models and pages are shown.

After a wanted change: python -m pytest tests/tools/test_toolbox.py, read the difference, then write the new snapshot with
`python -m tests.tools.snapshot`.
"""

import json
import re

import pytest

from agents.specialists import ROSTER
from factory_infra.errors import InvalidInput, NotFound
from tests.tools.snapshot import SNAPSHOT, schemas
from tools import toolbox
from tools.plan import Effect
from tools.spec import Arguments, JobTool
from tools.toolbox import TOOLS, AnyTool, tool_named

EVERY = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
WITH_EFFECT = pytest.mark.parametrize(
    "tool", [tool for tool in TOOLS.values() if tool.effect is not Effect.READ], ids=lambda tool: tool.name
)
NOUNS = (
    "accelerators",
    "catalog",
    "clusters",
    "deployments",
    "events",
    "features",
    "isolation",
    "jobs",
    "kpis",
    "leases",
    "metering",
    "nodes",
    "optimization",
    "pipelines",
    "plans",
    "pools",
    "registry",
    "reliability",
    "scheduling",
    "studies",
    "telemetry",
    "tenants",
    "training",
    "twin",
    "validation",
    "vms",
)


class TestNames:
    def test_no_tool_hides_another(self) -> None:
        declared = [tool.name for noun in NOUNS for tool in getattr(toolbox, noun).TOOLS]
        assert len(declared) == len(set(declared)) == len(TOOLS)

    @EVERY
    def test_a_name_is_noun_and_verb_of_its_own_file(self, tool: AnyTool) -> None:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", tool.name)
        assert tool.call.__module__ == f"tools.{tool.name.partition('.')[0]}"

    def test_an_unknown_tool_is_told_with_those_there_are(self) -> None:
        with pytest.raises(NotFound) as raised:
            tool_named("leases.steal")
        assert raised.value.error_code == "tool_unknown"
        assert all(name in raised.value.remedy for name in TOOLS)


class TestRoster:
    @pytest.mark.parametrize("agent", ROSTER)
    def test_every_tool_of_an_agent_exists(self, agent: str) -> None:
        assert set(ROSTER[agent].tools) <= set(TOOLS)

    @EVERY
    def test_every_tool_has_an_agent(self, tool: AnyTool) -> None:
        assert any(tool.name in spec.tools for spec in ROSTER.values())

    def test_the_dispatcher_only_reads(self) -> None:
        assert {TOOLS[name].effect for name in ROSTER["dispatcher"].tools} == {Effect.READ}

    @pytest.mark.parametrize("agent", ["librarian", "reliability-engineer", "cost-analyst", "auditor"])
    def test_who_only_answers_only_reads(self, agent: str) -> None:
        assert {TOOLS[name].effect for name in ROSTER[agent].tools} == {Effect.READ}


class TestPromises:
    @WITH_EFFECT
    def test_an_effect_says_how_it_is_undone_and_what_holds_afterwards(self, tool: AnyTool) -> None:
        assert tool.undo_words
        assert tool.postcondition

    @WITH_EFFECT
    def test_an_effect_is_foreseen_and_verified(self, tool: AnyTool) -> None:
        assert tool.dry_run is not None
        assert tool.verify is not None

    @WITH_EFFECT
    def test_what_costs_has_a_price(self, tool: AnyTool) -> None:
        assert (tool.price is not None) == (tool.effect is Effect.COSTLY)

    @EVERY
    def test_a_job_can_be_prepared_and_collected(self, tool: AnyTool) -> None:
        assert isinstance(tool, JobTool) == (tool.runs_as == "job")
        if isinstance(tool, JobTool):
            assert tool.prepare is not None
            assert tool.collect is not None

    @EVERY
    def test_the_description_is_a_sentence(self, tool: AnyTool) -> None:
        assert re.match(r"[A-Z].*\.$", tool.description, re.DOTALL)


class TestArguments:
    @EVERY
    def test_unknown_fields_are_refused(self, tool: AnyTool) -> None:
        assert issubclass(tool.arguments, Arguments)
        with pytest.raises(InvalidInput, match=re.escape(tool.name)):
            tool.parse({"surprise": 1})

    @EVERY
    def test_types_are_not_guessed(self, tool: AnyTool) -> None:
        assert tool.arguments.model_config.get("strict") is True

    def test_a_refusal_names_tool_and_field(self) -> None:
        with pytest.raises(InvalidInput) as raised:
            tool_named("deployments.gate").parse({"model_name": "digits", "version": 1, "threshold": 95.0})
        assert raised.value.reason.startswith("deployments.gate: threshold:")
        assert raised.value.remedy

    def test_a_text_has_a_limit(self) -> None:
        with pytest.raises(InvalidInput):
            tool_named("catalog.search").parse({"query": "a" * 401})


def test_the_schemas_are_those_of_the_snapshot() -> None:
    assert schemas() == json.loads(SNAPSHOT.read_text())
