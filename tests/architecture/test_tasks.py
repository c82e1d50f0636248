"""Facts of a task are handed down from the edge: nothing below it looks a task up by name."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("hpo", "store", "workers", "service", "windtunnel")
EDGES = {
    "hpo/tasks/registry.py",  # data of a task by its name
    "service/jobs/schemas.py",  # which tasks jobs can be listed by
    "service/pages/plans.py",  # which tasks a form offers
    "service/pages/submitting.py",
    "service/pages/views.py",
    "service/listings/routes.py",  # GET /v1/tasks
    "windtunnel/__init__.py",  # hands the look-up to the wire types
    "windtunnel/cli/checks.py",
    "windtunnel/cli/completing.py",
    "windtunnel/cli/coordcheck.py",
    "windtunnel/cli/counting.py",
    "windtunnel/cli/roles.py",
    "windtunnel/cli/submitting.py",
}
"""Where names of tasks come in or are listed."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """(path, syntax) of every file of the product."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def names(tree: ast.Module) -> set[str]:
    """Names and attributes that a file speaks of."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


def imported(tree: ast.Module) -> set[str]:
    """Modules that a file imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_only_the_edges_name_the_catalogue() -> None:
    naming = {path for path, tree in sources() if "TASKS" in names(tree)}
    assert {path for path in naming if not path.startswith("windtunnel/tasks/")} == EDGES


def test_the_wire_types_import_nothing_of_the_tasks() -> None:
    for path, tree in sources():
        if path.startswith("windtunnel/types/"):
            assert not {name for name in imported(tree) if name.startswith("windtunnel.tasks")}, path


def test_the_look_up_is_handed_in_once() -> None:
    assert [path for path, tree in sources() if "hand_in" in names(tree)] == ["windtunnel/__init__.py"]


def test_a_spec_of_a_built_in_task_needs_no_import_but_that_of_the_types() -> None:
    program = (
        "import sys\n"
        "from windtunnel.types import JobSpec\n"
        "assert 'windtunnel.tasks' not in sys.modules\n"
        "print(JobSpec(task='python-text').inner.batch_size)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "16\n"
