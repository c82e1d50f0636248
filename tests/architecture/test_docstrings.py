"""A docstring reads alone: no first word that leans on a neighbour."""

import ast
import re
from collections.abc import Iterator, Mapping

LEANING = re.compile(
    r"(What|Of|The same|Those|These|None|See|Nor|And|Both|Them|Its|It|Who|Whose|That|By|In|With|As|At|When|Where|How|For"
    r"|Which)\b"
)
"""First words of a docstring that cannot be read alone. "Whether ..." says what a truth value means, and may stay."""


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring, those behind attributes and constants included."""
    for node in ast.walk(tree):
        for child in getattr(node, "body", ()) if isinstance(getattr(node, "body", ()), list) else ():
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) and isinstance(child.value.value, str):
                yield child.lineno, child.value.value


def test_every_docstring_reads_alone(sources: Mapping[str, ast.Module]) -> None:
    leaning = [
        f"{path}:{line}: {text.splitlines()[0]}"
        for path, tree in sources.items()
        for line, text in docstrings(tree)
        if LEANING.match(text)
    ]
    assert not leaning, "start with what it returns or does:\n" + "\n".join(leaning)


def test_a_leaning_docstring_is_seen() -> None:
    tree = ast.parse(
        'class A:\n    x: int\n    """Of the optimizer."""\n    y: int\n    """Updates of the weights so far."""\n'
    )
    assert [line for line, text in docstrings(tree) if LEANING.match(text)] == [3]
