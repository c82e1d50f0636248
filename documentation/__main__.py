"""Writes the generated pages, and the generated parts of pages: `python -m documentation`, or `make reference`."""

import re
import tempfile
from pathlib import Path

from documentation import client, estimators, openapi, optimizers
from service.app import create_app
from service.settings import ServiceSettings

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def pages() -> dict[Path, str]:
    """Path -> text of each page with generated parts.

    Raises:
        ValueError: a page lacks the marks around a generated part.
    """
    with tempfile.TemporaryDirectory() as folder:
        # The application opens no database before its first request.
        document = create_app(ServiceSettings(data_dir=Path(folder))).openapi()
    catalogue, calls, spec = (REFERENCE / f"{name}.md" for name in ("estimators", "client", "spec"))
    return {
        REFERENCE / "openapi.md": openapi.page(document),
        calls: within(calls.read_text(), "the client", client.catalogue()),
        catalogue: within(catalogue.read_text(), "estimators", estimators.catalogue()),
        spec: within(spec.read_text(), "optimizers", optimizers.catalogue()),
    }


def within(page: str, part: str, text: str) -> str:
    """The page with the text between the marks of ``part`` replaced.

    Raises:
        ValueError: the page does not have exactly one such part.
    """
    start, end = f"<!-- `make reference` writes {part} from here -->", "<!-- to here -->"
    found = re.compile(f"({re.escape(start)}\n\n).*?(\n\n{re.escape(end)})", re.DOTALL)
    changed, count = found.subn(lambda match: match[1] + text + match[2], page)
    if count != 1:
        raise ValueError(f"the page needs exactly one part between {start!r} and {end!r}, it has {count}")
    return changed


def main() -> None:
    """Write the pages that changed, and print which."""
    for path, text in pages().items():
        stale = not path.exists() or path.read_text() != text
        if stale:
            path.write_text(text)
        print(f"{path.name}: {'written' if stale else 'was current'}")


if __name__ == "__main__":
    main()
