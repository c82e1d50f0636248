"""Embeds the source of an optimizer that torch does not have, so that an exported file needs torch alone. No torch here.

``windtunnel.torch.optimizers`` has such classes, one per file; the text of the file is read and never imported.
"""

import ast
from dataclasses import dataclass
from importlib.resources import files

from windtunnel.types.optimizers import TorchForm

ROOM = files("windtunnel").joinpath("torch", "optimizers")


@dataclass(frozen=True)
class Embedded:
    """A module's text as part of another file."""

    imports: tuple[str, ...] = ()
    """Import statements, one line each."""
    definitions: str = ""
    """Source of everything after the imports, without the module's docstring; empty if torch has the class."""


def embedded(form: TorchForm) -> Embedded:
    """Imports and definitions of an optimizer's class for an exported file; empty for torch's own classes."""
    if form.is_torchs_own:
        return Embedded()
    text = ROOM.joinpath(f"{form.module.rpartition('.')[2]}.py").read_text(encoding="utf-8")
    body = ast.parse(text).body
    if ast.get_docstring(ast.parse(text)) is not None:
        body = body[1:]
    imports = [part for part in body if isinstance(part, ast.Import | ast.ImportFrom)]
    others = [part for part in body if part not in imports]
    lines = text.splitlines()
    first = min(_first_line(part) for part in others)
    return Embedded(tuple(map(ast.unparse, imports)), "\n".join(lines[first - 1 :]).strip())


def call(form: TorchForm) -> str:
    """Expression by which an exported file names the optimizer's class, such as ``torch.optim.AdamW``."""
    return form.path if form.is_torchs_own else form.name


def with_imports(source: str, embedded: Embedded) -> str:
    """Import statements of a file, followed by the missing ones of the class that it embeds."""
    has = source.splitlines()
    return "\n".join([source, *(line for line in embedded.imports if line not in has)])


def _first_line(part: ast.stmt) -> int:
    """Number of the first line of a statement, its decorators included."""
    decorators = getattr(part, "decorator_list", [])
    return min(part.lineno, *(each.lineno for each in decorators)) if decorators else part.lineno
