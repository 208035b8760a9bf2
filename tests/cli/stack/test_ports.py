"""The choice of ports, against ports that are really busy."""

import socket
from collections.abc import Iterator

import pytest

from cli.stack.addresses import choose_ports, without_credentials
from cli.stack.events import Event
from cli.stack.ports import choose, is_free
from cli.stack.settings import StackSettings
from factory_infra.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_a_busy_port_is_replaced_by_a_free_one(busy_port: int) -> None:
    assert not is_free(busy_port)
    chosen = choose(busy_port, set(), set())
    assert chosen != busy_port and is_free(chosen)


def test_what_others_want_is_left_to_them(busy_port: int) -> None:
    assert choose(busy_port, set(), {busy_port + 1}) not in {busy_port, busy_port + 1}


def test_the_same_port_is_not_given_twice(busy_port: int) -> None:
    events: list[Event] = []
    wanted = StackSettings(chroma_port=busy_port, mlflow_port=busy_port, model_server_port=busy_port + 1)
    ports = choose_ports(Settings(mlflow_url="http://elsewhere:1"), wanted, events.append)
    assert ports.chroma not in {busy_port, busy_port + 1} and ports.mlflow == 0
    said = [event.text for event in events if event.part == "chroma"]
    assert said == [f"port {busy_port} is busy, taking {ports.chroma}"]


def test_shown_addresses_carry_no_credentials() -> None:
    assert without_credentials("postgresql://me:secret@host:5432/db?password=secret") == "postgresql://host:5432/db"
    assert without_credentials("host:7233") == "host:7233"
