"""The service is cut by resource: routes speak HTTP, a service does the work, pages and the API call the same one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import service

ROOT = Path(service.__file__).parent
MODULES = {
    ".".join(("service", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
RESOURCES = sorted(path.parent.name for path in ROOT.glob("*/routes.py") if path.parent.name != "pages")


def imports(module: str) -> Iterator[str]:
    """Everything of the service that a module imports, wherever in it that stands."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_routes_are_imported_by_the_application_alone(module: str) -> None:
    if module == "service.app":
        return
    found = [name for name in imports(module) if name.startswith("service.") and ".routes" in name]
    assert not found, "call the resource's service instead"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.endswith((".service", ".schemas"))))
def test_a_service_speaks_no_http(module: str) -> None:
    assert not [name for name in imports(module) if name.partition(".")[0] in ("fastapi", "starlette", "httpx")]


@pytest.mark.parametrize("module", sorted(name for name in MODULES if not name.startswith("service.pages")))
def test_no_resource_knows_the_pages(module: str) -> None:
    if module == "service.app":
        return
    assert not [name for name in imports(module) if name.startswith("service.pages")]


@pytest.mark.parametrize("resource", RESOURCES)
def test_routes_open_no_transaction_but_where_nothing_is_owned(resource: str) -> None:
    text = (ROOT / resource / "routes.py").read_text()
    if resource not in ("metrics", "health"):
        assert ".transaction(" not in text and ".snapshot(" not in text, "that is for the resource's service"
