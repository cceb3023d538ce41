"""The layers hold: the contracts in pyproject.toml, and what import-linter cannot see."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "harness").rglob("*.py"))
PURE = ("model", "stats", "bisect", "parse", "workloads", "plan.py", "interfaces.py")
# Methods of Path and names of builtins that reach a disk, a terminal or the clock.
EFFECTS = {
    "open", "input", "print", "read_text", "write_text", "read_bytes", "write_bytes", "exists", "is_file", "is_dir",
    "mkdir", "unlink", "rename", "iterdir", "glob", "rglob", "stat", "resolve", "expanduser", "cwd", "home", "getenv",
}  # fmt: skip


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Names of what a module calls, with lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id, node.lineno
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr, node.lineno


def lint_imports(config: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [program, "--config", config, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def test_contracts_are_kept() -> None:
    done = lint_imports(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def test_a_broken_contract_is_seen(tmp_path: Path) -> None:
    """Upside down, the table must not hold: the check above can fail."""
    text = (ROOT / "pyproject.toml").read_text()
    wrong = text.replace('allowed_importers = ["harness.config"]', 'allowed_importers = ["harness.host"]')
    assert wrong != text
    config = tmp_path / "pyproject.toml"
    config.write_text(wrong)
    done = lint_imports(config)
    assert done.returncode == 1
    assert "harness.config.document -> yaml" in done.stdout


def test_each_library_that_touches_the_world_has_one_home() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    homes = {
        contract["protected_modules"][0]: contract["allowed_importers"]
        for contract in contracts
        if contract["type"] == "protected"
    }
    for library in ("libvirt", "paramiko", "yaml", "jinja2", "sqlalchemy", "subprocess"):
        assert len(homes[library]) == 1


def home(path: Path) -> str:
    """The package (or module) of harness that a file belongs to."""
    return path.relative_to(ROOT / "harness").parts[0]


def test_only_the_command_line_prints() -> None:
    others = [path for path in MODULES if home(path) != "cli"]
    assert len(others) > 10
    printed = [(path, line) for path in others for name, line in calls(path) if name in {"print", "input"}]
    assert not printed
    assert not [path for path in others if re.search(r"\bsys\.(stdout|stderr)\b", path.read_text())]


def test_pure_modules_do_no_input_or_output() -> None:
    pure = [path for path in MODULES if home(path) in PURE]
    assert {home(path) for path in pure} == set(PURE)
    assert not [(path, name, line) for path in pure for name, line in calls(path) if name in EFFECTS]


def test_modules_say_what_they_are() -> None:
    texts = {path: path.read_text() for path in MODULES}
    assert not [path for path, text in texts.items() if not ast.get_docstring(ast.parse(text))]


def test_functions_are_short() -> None:
    long = [
        (path, node.name)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or node.lineno) - node.lineno >= 60
    ]
    assert not long


def imported(path: Path) -> set[str]:
    """Modules of harness that a module imports, in functions too, but not for type checkers alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_modules_import_one_another() -> None:
    """Each can be understood, and imported, after those that it names."""
    names = {str(path.relative_to(ROOT).with_suffix("")).replace("/", "."): path for path in MODULES}
    # A package's own file gathers what is in it.
    graph = {name: imported(path) & names.keys() for name, path in names.items() if not name.endswith("__init__")}
    while graph:
        free = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert free, f"circles among {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in free}


def test_every_direct_dependency_is_explained() -> None:
    document = (ROOT / "docs" / "explanation" / "dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    lists = (ROOT / "ci" / name for name in ("packages.txt", "packages-tests.txt"))
    packages = [line for path in lists for line in path.read_text().splitlines() if line and line[0] != "#"]
    names = [re.split(r"[\[<>=~ ]", text)[0] for text in wanted] + packages
    missing = [name for name in names if f"`{name}`" not in document]
    assert not missing


def test_tests_mirror_the_tree() -> None:
    """A unit test lies where what it tests lies: tests/unit/report/search/test_mail.py is of harness/report/search."""
    folders = {
        path.parent.relative_to(ROOT / "tests" / "unit") for path in (ROOT / "tests" / "unit").rglob("test_*.py")
    }
    assert len(folders) > 10
    assert not [folder for folder in folders if not (ROOT / "harness" / folder).is_dir()]
