"""Two stacks that start at once never choose the same port."""

import subprocess
import sys
from contextlib import closing
from socket import socket

import pytest

from cli.stack.ports import choose, claim

HOLDER = "import sys; from cli.stack.ports import claim; print(claim(int(sys.argv[1])), flush=True); sys.stdin.read()"


pytestmark = pytest.mark.stack


def a_free_port() -> int:
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_another_stack_has_claimed_is_passed_over_until_it_ends() -> None:
    free_port = a_free_port()
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(free_port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None and holder.stdout is not None
    try:
        assert holder.stdout.readline().strip() == "True"
        assert not claim(free_port)
        assert choose(free_port, set(), set()) != free_port
    finally:
        holder.stdin.close()
        holder.wait(10)
    assert claim(free_port)
