"""The field's own clients against a running gateway, before an upstream whose answers make sense: a row a suite, with every reason."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.gateway.by_hand import by_hand
from benchmarks.gateway.ground import Gateway, Ground, openai_backend, route, scratch_ground
from benchmarks.gateway.peers import CLIENTS, Missing, environment, node_modules
from benchmarks.gateway.published import published
from benchmarks.gateway.script import JsonObject
from benchmarks.gateway.witness import Witness, witnessing
from benchmarks.line.shell import ROOT, run
from cli.checks import Check, print_checks

SUITES = Path(__file__).with_name("suites")
SECONDS_MAX = 600.0
ASYNC = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session", "-o", "asyncio_default_fixture_loop_scope=session")
"""Clients keep their connections from one test to the next, and those belong to one loop."""
PUBLISHED = "the published OpenAPI of OpenAI's API"
FRAIL = route("plain", model="fast", retries={"attempts_max": 1}, breaker={"calls_min": 1000})
"""Each of its faults reaches the client, and none keeps the next call away."""
EXPECTED: dict[str, str] = {}
"""Tests that cannot pass with this backend, each with its reason; any other failure falls short."""


@dataclass
class Result:
    """What a suite said."""

    name: str
    passed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    broken: str = ""

    def check(self) -> Check:
        """One row: failures with their reasons, skips counted by reason."""
        told = f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        reasons = Counter(self.skipped.values())
        why = [f"failed {name}: {reason}" for name, reason in self.failed.items()]
        why += [f"skipped {number}: {reason}" for reason, number in reasons.most_common()]
        figure = self.broken or "; ".join([told, *why])
        return Check(self.name, figure, "no failure", not self.broken and not self.failed and self.passed > 0)


def configured(ground: Ground) -> tuple[Gateway, str]:
    """A gateway with every model that the suites name, and a key."""
    upstream = ground.upstream()
    models: JsonObject = {name: route("plain", model=name) for name in ("fast", "other", "embed", "voice", "ear")}
    ground.configure({"plain": openai_backend(upstream.url)}, models | {"frail": FRAIL})
    ground.team()
    ground.limit("requests", "minute", 10**6)
    ground.limit("tokens", "minute", 10**9)
    return ground.start()[0], ground.keys()[0]


def by_pytest(name: str, python: Path, file: str, url: str, key: str) -> Result:
    """Run a suite of Python's."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ("-q", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider", *ASYNC, f"--junitxml={report}")
        done = run(
            str(python),
            "-m",
            "pytest",
            *options,
            str(SUITES / file),
            folder=Path(folder),
            seconds_max=SECONDS_MAX,
            environment={"GATEWAY_URL": url, "GATEWAY_KEY": key, "OPENAI_API_KEY": "none", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        if not report.exists():
            return Result(name, broken=done.last(3))
        return read_report(name, report)


def read_report(name: str, report: Path) -> Result:
    """What pytest's report says."""
    found = Result(name)
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest's own file
        title = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
        failure = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
        skipped = case.find("skipped")
        if failure is not None:
            found.failed[title] = EXPECTED.get(title, " ".join((failure.get("message") or "").split())[:200])
        elif skipped is not None:
            found.skipped[title] = " ".join((skipped.get("message") or "").split())[:100]
        else:
            found.passed += 1
    return found


def by_node(url: str, key: str) -> Result:
    """Run the suite of Node's."""
    found = Result("openai (Node)")
    if shutil.which("node") is None or shutil.which("npm") is None:
        found.broken = "not measured: node and npm are not here"
        return found
    try:
        place = node_modules("openai")
    except Missing as error:
        found.broken = f"not measured: {error}"
        return found
    script = place / "openai_node.mjs"
    script.write_text((SUITES / "openai_node.mjs").read_text())
    done = run("node", str(script), folder=place, seconds_max=120, environment={"GATEWAY_URL": url, "GATEWAY_KEY": key})
    for line in done.text.splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            found.passed += told["ok"]
            found.failed |= {} if told["ok"] else {told["name"]: told["reason"]}
    found.broken = "" if found.passed or found.failed else done.last(3)
    return found


def by_environment(name: str, file: str, url: str, key: str) -> Result:
    """Run a suite of Python's in the clients' own environment."""
    try:
        return by_pytest(name, environment("clients", CLIENTS) / "python", file, url, key)
    except Missing as error:
        return Result(name, broken=f"not measured: {error}")


def openai_python(url: str, key: str) -> Result:
    """The official client for Python, in the product's environment."""
    return by_pytest("openai (Python)", ROOT / ".venv" / "bin" / "python", "openai_python.py", url, key)


def anthropic_python(url: str, key: str) -> Result:
    """Anthropic's client for Python."""
    return by_environment("anthropic (Python)", "anthropic_python.py", url, key)


def langchain(url: str, key: str) -> Result:
    """LangChain's standard tests over its own client of OpenAI's shapes."""
    return by_environment("langchain-openai, langchain-tests", "langchain_openai_suite.py", url, key)


SUITES_RUN = (openai_python, anthropic_python, langchain, by_node)


def kept(witness: Witness) -> Check:
    """Whether all that went over the wire keeps to the published document."""
    try:
        verdict = published().verdict(witness.exchanges)
    except Missing as error:
        return Check(PUBLISHED, f"not measured: {error}", "no deviation", False)
    return Check(PUBLISHED, verdict.figure(), "no deviation", not verdict.faults and verdict.exchanges > 0)


def checks() -> list[Check]:
    """All of them, before a witness: what they send and get is held to the published document of the API as well."""
    with scratch_ground() as ground:
        gateway, key = configured(ground)
        with witnessing(gateway.url) as witness:
            by_hand(witness.url, key)
            found = [suite(witness.url, key) for suite in SUITES_RUN]
            return [*(result.check() for result in found), kept(witness)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them by themselves."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    found = checks()
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
