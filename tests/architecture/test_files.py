"""Files of a size that holds one idea: a drawer of a few lines is merged into the file that uses it."""

import ast
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALLEST = 25
"""Lines of a file."""
REGISTRY_ENTRIES = (
    "hpo/estimators/",
    "hpo/exports/",
    "hpo/families/",
    "hpo/mup/tables/",
    "hpo/optimizers/",
    "hpo/tasks/",
    "windtunnel/torch/optimizers/",
    "windtunnel/types/optimizers/",
)
"""Folders with one file a kind, however short its answers are."""
STARTED_BY_NAME = ("windtunnel/__main__.py", "workers/celery_app.py", "migrations/")
"""Modules that another program imports by name."""
SAME_FEW = ("routes.py", "service.py", "schemas.py")
"""Files that every resource of the service has, and is found by."""


def test_no_file_is_too_small_to_be_found(sources: Mapping[str, ast.Module]) -> None:
    small = [
        path
        for path in sources
        if not path.endswith("/__init__.py")
        and not path.startswith(REGISTRY_ENTRIES)
        and not path.startswith(STARTED_BY_NAME)
        and not path.endswith(SAME_FEW)
        and len((ROOT / path).read_text().splitlines()) < SMALLEST
    ]
    assert not small, f"under {SMALLEST} lines; merge each into the file that uses it: {small}"
