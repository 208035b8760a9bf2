"""One site a provider for the whole session, and the matrix of providers and contracts at its end."""

from collections import Counter
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.contract.houses import PROVIDERS, Site, site_of

WORST_FIRST = ("FAIL", "lacks", "not here", "pass")
STARTS_PROCESSES_ONLY = {"local", "twin"}


@dataclass
class Matrix:
    """What came of each contract test with each provider."""

    cells: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)

    def add(self, contract: str, provider: str, outcome: str, reason: str) -> None:
        """Note one outcome; a test with parameters has several."""
        self.cells.setdefault((contract, provider), []).append(outcome)
        if reason:
            self.reasons[reason] = None

    def cell(self, contract: str, provider: str) -> str:
        """The worst outcome, or nothing where the test is not asked of the provider."""
        found = self.cells.get((contract, provider), [])
        return min(found, key=lambda outcome: next(i for i, start in enumerate(WORST_FIRST) if outcome.startswith(start)), default="")

    def lines(self) -> list[str]:
        """The table, the reasons and the counts."""
        contracts = list(dict.fromkeys(contract for contract, _ in self.cells))
        providers = list(dict.fromkeys(provider for _, provider in self.cells))
        first = max(len(contract) for contract in contracts)
        widths = [max(len(provider), *(len(self.cell(each, provider)) for each in contracts)) for provider in providers]

        def row(title: str, values: list[str]) -> str:
            return "  ".join([title.ljust(first), *(value.ljust(width) for value, width in zip(values, widths, strict=True))]).rstrip()

        shown = [row("", providers)] + [row(each, [self.cell(each, provider) for provider in providers]) for each in contracts]
        counts = [self.count(provider, contracts) for provider in providers]
        counts.append(f"{len(contracts)} contracts, {len(providers)} providers, {len(self.cells)} cells")
        return [*shown, "", *list(self.reasons), "", *counts]

    def count(self, provider: str, contracts: list[str]) -> str:
        """How many of a provider's cells are what."""
        kinds = Counter("lacks" if cell.startswith("lacks") else cell for cell in (self.cell(each, provider) for each in contracts) if cell)
        return f"{provider}: " + ", ".join(f"{kinds[kind]} {kind}" for kind in reversed(WORST_FIRST) if kinds[kind])


MATRIX = pytest.StashKey[Matrix]()


@pytest_asyncio.fixture(
    scope="session",
    loop_scope="session",
    params=[pytest.param(name, marks=[] if name in STARTS_PROCESSES_ONLY else [pytest.mark.stack]) for name in PROVIDERS],
)
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Each provider's house in turn."""
    async with site_of(request.param, tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


def provider_of(item: pytest.Item) -> str | None:
    """The parameter of the fixture that gives the provider: `site`, `house` or one whose name ends so."""
    parameters: dict[str, object] = item.callspec.params if hasattr(item, "callspec") else {}
    return next((str(value) for name, value in parameters.items() if name.endswith(("site", "house"))), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what came of a contract test."""
    report = yield
    provider = provider_of(item)
    if provider is not None and (report.when == "call" or report.outcome != "passed"):
        matrix = item.config.stash.setdefault(MATRIX, Matrix())
        name = item.originalname if isinstance(item, pytest.Function) else item.name
        outcome, reason = outcome_of(report, provider)
        matrix.add(f"{item.path.stem.removeprefix('test_')}: {name.removeprefix('test_').replace('_', ' ')}", provider, outcome, reason)
    return report


def outcome_of(report: pytest.TestReport, provider: str) -> tuple[str, str]:
    """Say `pass`, `FAIL`, `lacks ABILITY` or `not here`, with the reason of what was skipped."""
    if report.outcome == "passed":
        return "pass", ""
    if report.outcome == "failed":
        return "FAIL", ""
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")
    lacks = f"{provider} lacks "
    return ("lacks " + reason.removeprefix(lacks).partition(":")[0] if reason.startswith(lacks) else "not here"), reason


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the matrix."""
    matrix = config.stash.get(MATRIX, None)
    if matrix is not None:
        terminalreporter.section("contracts")
        for line in matrix.lines():
            terminalreporter.write_line(line)
