"""The rules that matter, as tests over the source: direction, size, types, errors, settings, and nothing of any one machine."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agents", "tools", "workflows", "factory_infra", "api", "cli", "evals")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
BROAD = {"Exception", "BaseException"}
BROAD_ALLOWED = {
    "api/gateway/edge.py": "the edge to clients: what nobody foresaw is told in their shape, in the middle of a stream too",
    "cli/stack/supervisor.py": "a start that is interrupted by anything must stop what it started, and raise it again",
    "evals/run.py": "one case that breaks must not end the others",
    "factory_infra/paas/features/programs/feast_door.py": "the edge of a process: what Feast raises is told to who asked, who goes on",
    "workflows/activities/context.py": "the edge to Temporal: a fault of ours becomes an error with a code, after a few attempts",
}
"""Edges where everything is caught, each with its reason."""
MACHINE = re.compile(r"/(?:work|root|tmp/lab)(?:/|\b)")
REGISTRY = re.compile(r"https?://|--(?:extra-)?index-url|--find-links|@ ?file:", re.IGNORECASE)
NOUNS = (
    "foundation/accelerators",
    "foundation/clusters",
    "foundation/reliability",
    "foundation/telemetry",
    "foundation/validation",
    "iaas/isolation",
    "iaas/jobs",
    "iaas/kubernetes",
    "iaas/leases",
    "paas/catalog",
    "paas/deployments",
    "paas/features",
    "paas/optimization",
    "paas/registry",
    "paas/tenants",
    "paas/training",
    "saas/metering",
    "saas/models",
    "saas/tool_servers",
    "saas/vectors",
)
FOLDERS = (
    "api/routers",
    "api/schemas",
    "agents/roster",
    "workflows/definitions",
    "workflows/activities",
    "console",
    "docs/adr",
    "benchmarks",
)


@cache
def sources() -> dict[str, ast.Module]:
    """Every Python file of the product, by its path, parsed. Migrations are generated and left out."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths if "versions" not in path.parts}


@cache
def tracked() -> list[Path]:
    """Every file that is committed or will be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def own(node: ast.AST) -> bool:
    """Whether an import is of our own."""
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").split(".")[0] in PACKAGES
    return isinstance(node, ast.Import) and any(alias.name.split(".")[0] in PACKAGES for alias in node.names)


def inline_imports(tree: ast.Module) -> list[int]:
    return [node.lineno for function in functions(tree) for node in ast.walk(function) if isinstance(node, ast.stmt) and own(node)]


def environment_reads(tree: ast.Module) -> list[int]:
    names = {"environ", "environb", "getenv"}

    def reads(node: ast.AST) -> bool:
        if isinstance(node, ast.ImportFrom):
            return node.module == "os" and bool(names & {each.name for each in node.names})
        return isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os"

    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.ImportFrom) and reads(node)]


def long_functions(tree: ast.Module) -> list[int]:
    return [each.lineno for each in functions(tree) if (each.end_lineno or 0) - each.lineno + 1 > FUNCTION_LINES_MAX]


def untyped(tree: ast.Module) -> list[int]:
    found = []
    for each in functions(tree):
        arguments = [*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs, each.args.vararg, each.args.kwarg]
        bare = [argument for argument in arguments if argument and argument.annotation is None and argument.arg not in {"self", "cls"}]
        if bare or (each.returns is None and each.name != "__init__"):
            found.append(each.lineno)
    return found


def broad_handlers(tree: ast.Module) -> list[int]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {"Exception"} if node.type is None else {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)}
            found += [node.lineno] if names & BROAD else []
    return found


def without_docstring(tree: ast.Module) -> list[int]:
    return [1] if tree.body and ast.get_docstring(tree) is None else []


Rule = Callable[[ast.Module], list[int]]


def broken(rule: Rule, *, but: Callable[[str], bool] = lambda path: False) -> list[str]:
    """Where a rule is broken, as PATH:LINE."""
    return [f"{path}:{line}" for path, tree in sources().items() if not but(path) for line in rule(tree)]


class TestSource:
    def test_no_import_of_our_own_inside_a_function(self) -> None:
        assert broken(inline_imports) == []

    def test_the_environment_is_read_in_settings_only(self) -> None:
        assert broken(environment_reads, but=lambda path: path.endswith("settings.py")) == []

    def test_no_function_is_longer_than_a_screen(self) -> None:
        assert broken(long_functions) == []

    def test_every_function_is_typed(self) -> None:
        assert broken(untyped) == []

    def test_every_module_says_what_it_is(self) -> None:
        assert broken(without_docstring) == []

    def test_everything_is_caught_at_named_edges_only(self) -> None:
        assert broken(broad_handlers, but=lambda path: path in BROAD_ALLOWED) == []

    def test_no_file_is_too_long(self) -> None:
        texts = [path for path in tracked() if path.suffix in {".py", ".js", ".ts", ".css", ".md", ".yaml"}]
        assert [f"{path.relative_to(ROOT)}: {count}" for path in texts if (count := path.read_text().count("\n")) > FILE_LINES_MAX] == []


class TestControls:
    """Each rule finds what it is for."""

    @pytest.mark.parametrize(
        ("rule", "text"),
        [
            (inline_imports, "def f():\n    from tools import plan"),
            (inline_imports, "async def f():\n    import agents.graph"),
            (inline_imports, "def f():\n    from . import x"),
            (environment_reads, "import os\nx = os.environ['A']"),
            (environment_reads, "import os\nx = os.getenv('A')"),
            (environment_reads, "from os import environ"),
            (long_functions, "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
            (untyped, "def f(x): ..."),
            (untyped, "def f(x: int): ..."),
            (untyped, "def f(*x) -> None: ..."),
            (broad_handlers, "try: ...\nexcept Exception: ..."),
            (broad_handlers, "try: ...\nexcept: ..."),
            (broad_handlers, "try: ...\nexcept (OSError, BaseException): ..."),
            (without_docstring, "x = 1"),
        ],
    )
    def test_finds(self, rule: Rule, text: str) -> None:
        assert rule(ast.parse(text))

    def test_finds_a_machine_and_a_registry(self) -> None:
        assert MACHINE.search("see " + "/".join(["", "work", "main"]))
        assert REGISTRY.search("--index-url https" + "://example")


class TestTree:
    @pytest.mark.parametrize("noun", NOUNS)
    def test_every_noun_is_a_package(self, noun: str) -> None:
        assert (ROOT / "factory_infra" / noun / "__init__.py").is_file()

    @pytest.mark.parametrize("folder", [*PACKAGES, *FOLDERS])
    def test_every_folder_of_the_design_is_there(self, folder: str) -> None:
        assert any((ROOT / folder).iterdir())

    def test_every_package_folder_can_be_imported(self) -> None:
        folders = {(ROOT / path).parent for path in sources()}
        assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []

    def test_nothing_names_one_machine(self) -> None:
        assert [str(path.relative_to(ROOT)) for path in tracked() if MACHINE.search(readable(path))] == []

    def test_the_lock_names_no_address(self) -> None:
        lines = (ROOT / "requirements.lock").read_text().splitlines()
        assert [line for line in lines if REGISTRY.search(line)] == []
        pinned = [line for line in lines if line and not line.startswith((" ", "#"))]
        assert [line for line in pinned if "==" not in line] == []
        assert sum("--hash=sha256:" in line for line in lines) >= len(pinned)


def readable(path: Path) -> str:
    """A file's text; a picture has none."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""
