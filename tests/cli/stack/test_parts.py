"""The parts of the local stack, as they are specified."""

from pathlib import Path

from cli.stack.addresses import Ports
from cli.stack.events import ignore
from cli.stack.part import closure
from cli.stack.parts import NAMES, LocalParts
from factory_infra.settings import Settings

PORTS = Ports(temporal=1, temporal_ui=2, chroma=3, mlflow=4, models=5, postgres=6, api=7, gateway=8)


def test_each_name_is_a_part(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    assert {part.name for part in LocalParts(settings, PORTS, ignore).all()} == set(NAMES)


def test_the_gateway_needs_the_schema_only_and_has_time_to_settle(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    parts = LocalParts(settings, PORTS, ignore).all()
    assert [part.name for part in closure(parts, ["gateway"])] == ["postgres", "schema", "gateway"]
    gateway = parts[-1]
    assert (gateway.url, gateway.stop_seconds_max) == ("http://127.0.0.1:8", 10.0)
    assert gateway.environment["LINESHAFT_GATEWAY_PORT"] == "8"


def test_the_gateways_file_is_named_from_where_the_stack_was_started(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    assert "LINESHAFT_GATEWAY" not in LocalParts(settings, PORTS, ignore).all()[-1].environment
    settings.gateway = Path("mine.yaml")
    assert LocalParts(settings, PORTS, ignore).all()[-1].environment["LINESHAFT_GATEWAY"] == str(Path.cwd() / "mine.yaml")
