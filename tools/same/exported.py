"""Parts of an exported file that compare where its wording may differ: its code, and its learning rates by value."""

import ast
from collections.abc import Iterator
from typing import Any

import yaml

SCHEDULE = "multiplier"
"""Function of an exported Python file that gives the learning-rate multiplier of a step."""
STEPS = 64
"""Steps at which multipliers are compared, at most; spread over the run."""


def by_value(text: str, name: str) -> Any:
    """An exported file in parts that can be compared.

    Args:
        text: the file.
        name: its format.

    Returns:
        For YAML its content, every scalar as written. For a Python file its docstring as ``about``; its ``code`` without
        comments, the docstrings of functions, imports, and the functions that only the schedule uses; and ``multipliers``
        at steps of the run as they print. Any other text as it is.
    """
    if name == "yaml":
        return yaml.load(text, Loader=yaml.BaseLoader)
    if f"def {SCHEDULE}(step" not in text:
        return text
    tree = ast.parse(text)
    own = _schedules_own(tree)
    constants = [node for node in tree.body if isinstance(node, ast.Assign) and _is_plain(node.value)]
    # What a formula needs of an import, the schedule's own part may import by itself.
    imports = [node for node in tree.body if isinstance(node, ast.Import)]
    names: dict[str, Any] = {}
    exec(compile(ast.Module([*imports, *constants, *own], []), "schedule", "exec"), names)
    steps = names["STEPS"]
    at = sorted({step * (steps - 1) // max(1, min(STEPS, steps) - 1) for step in range(min(STEPS, steps))})
    about = ast.get_docstring(tree)
    rest = ast.Module([node for node in tree.body if node not in own and node not in imports], [])
    for node in ast.walk(rest):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return {
        "about": about,
        "code": ast.unparse(rest),
        "multipliers": [repr(float(names[SCHEDULE](step))) for step in at],
    }


def _schedules_own(tree: ast.Module) -> list[ast.stmt]:
    """Functions and classes that the schedule uses and nothing else does, the schedule's first function included."""
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    reached, waiting = {SCHEDULE}, [SCHEDULE]
    while waiting:
        new = {name for name in _names(defined[waiting.pop()]) if name in defined} - reached
        reached |= new
        waiting += new
    return [node for name, node in defined.items() if name in reached]


def _names(node: ast.AST) -> Iterator[str]:
    return (each.id for each in ast.walk(node) if isinstance(each, ast.Name))


def _is_plain(node: ast.AST) -> bool:
    """Whether an expression is made of constants only."""
    kinds = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.USub, ast.Load)
    return all(isinstance(each, kinds) for each in ast.walk(node))


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
