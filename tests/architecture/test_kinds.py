"""A kind is an object that answers: nobody outside its own folder compares its name with a word."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from hpo.errors import Refused
from hpo.kinds import answering


@dataclass(frozen=True)
class Table:
    """One table of kinds: what may not be compared, and where it may."""

    names: frozenset[str]
    """Names of its kinds, those of everyday words left out where they would be found in other meanings."""
    speaks_of: re.Pattern[str]
    """Source text of what is compared, where it is about this table: its everyday names count only there."""
    everyday: frozenset[str]
    homes: tuple[str, ...]
    """Where its kinds live."""


TABLES = {
    "optimizers": Table(
        names=frozenset({"sgd", "adam", "adamw", "lion", "muon"}),
        speaks_of=re.compile(r"optimi[sz]er"),
        everyday=frozenset(),
        homes=("hpo/optimizers/", "windtunnel/types/optimizers", "windtunnel/torch/optimizers/"),
    ),
    "families": Table(
        names=frozenset({"mlp", "resnet", "transformer"}),
        speaks_of=re.compile(r"family|families"),
        everyday=frozenset({"module"}),
        homes=("hpo/families/", "hpo/exports/models/", "windtunnel/types/families"),
    ),
    "estimators": Table(
        names=frozenset({"stn", "delta_stn", "pes", "finite_difference"}),
        speaks_of=re.compile(r"estimator|\bkind\b"),
        everyday=frozenset({"auto", "reverse", "higher", "forward", "truncated", "greedy", "implicit", "es"}),
        homes=("hpo/estimators/", "windtunnel/types/estimators"),
    ),
    "exports": Table(
        names=frozenset({"huggingface", "nanogpt", "optax"}),
        speaks_of=re.compile(r"format|export"),
        everyday=frozenset({"torch", "json", "yaml"}),
        homes=("hpo/exports/", "windtunnel/types/exports"),
    ),
}


def words(node: ast.AST) -> set[str]:
    """Texts that stand in an expression or a pattern as constants."""
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def choices(tree: ast.Module) -> Iterator[tuple[int, str, set[str]]]:
    """(line, source of what is looked at, texts it is held against): comparisons, matches, and dictionaries by name."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                yield node.lineno, ast.unparse(node), set().union(*(words(each) for each in (node.left, *node.comparators)))
            case ast.Match():
                yield node.lineno, ast.unparse(node.subject), set().union(*(words(case.pattern) for case in node.cases))
            case ast.Dict() if len(node.keys) > 1:
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
                yield node.lineno, "", set(keys)


def chosen_by_name(table: Table, tree: ast.Module) -> list[int]:
    """Lines that choose by the name of a kind of that table."""
    return [
        line
        for line, looked_at, against in choices(tree)
        if against & table.names or (against & table.everyday and table.speaks_of.search(looked_at))
    ]


@pytest.mark.parametrize("name", TABLES)
def test_nobody_chooses_by_a_kinds_name(name: str, sources: Mapping[str, ast.Module]) -> None:
    table = TABLES[name]
    found = [
        f"{path}:{line}"
        for path, tree in sources.items()
        if not path.startswith(table.homes)
        for line in chosen_by_name(table, tree)
    ]
    assert not found, f"ask the kind instead of comparing its name: {found}"


@pytest.mark.parametrize(
    "source",
    [
        'x = spec.optimizer.name == "sgd"',
        'x = name in ("stn", "delta_stn")',
        'match model.family:\n    case "module":\n        pass',
        'STATE = {"sgd": 2, "adam": 3}',
        'x = method.estimator != "auto"',
    ],
)
def test_a_choice_by_name_is_seen(source: str) -> None:
    assert any(chosen_by_name(table, ast.parse(source)) for table in TABLES.values())


def test_other_words_are_left_alone() -> None:
    assert not any(chosen_by_name(table, ast.parse('x = storage == "auto"')) for table in TABLES.values())


def test_a_kind_without_an_object_is_refused() -> None:
    with pytest.raises(Refused, match=r"'nadam' is nothing that hpo\.optimizers answers for"):
        answering("hpo.optimizers", "nadam", "RULE", object)


def test_an_object_of_another_type_is_refused() -> None:
    with pytest.raises(Refused, match="is no int"):
        answering("hpo", "kinds", "answering", int)
