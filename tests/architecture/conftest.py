"""The product's own source, parsed once: what the rules about its structure look at."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("hpo", "store", "workers", "service", "windtunnel", "migrations")


@pytest.fixture(scope="session")
def sources() -> Mapping[str, ast.Module]:
    """Every module of the product: path from the root -> its tree."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in files}
