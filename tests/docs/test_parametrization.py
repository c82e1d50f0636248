"""The page of parametrizations: every table in it is the one that the code uses."""

import re
from pathlib import Path

import pytest

from hpo.mup.growth import BranchPart
from hpo.mup.rules import role_rule
from hpo.mup.tables import TABLES
from windtunnel.types import DecayRule, Parametrization
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.results import Role

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "parametrization.md").read_text()


def tables(heading: str) -> list[dict[str, list[str]]]:
    """First cell -> formulas of the other cells, of each table under a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found: list[dict[str, list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        rows = [line.strip("|\n").split(" | ") for line in block.splitlines()[2:]]
        found.append({first.strip(" `"): re.findall(r"`([^`]+)`", " | ".join(rest)) for first, *rest in rows})
    return found


@pytest.mark.parametrize("parametrization", TABLES)
def test_every_table_of_the_page_is_that_of_the_code(parametrization: Parametrization) -> None:
    (shown,) = tables(parametrization)
    for role in TABLES[parametrization]:
        adam = role_rule(parametrization, OPTIMIZERS["adamw"], "decoupled", role).formulas(role)
        sgd = role_rule(parametrization, OPTIMIZERS["sgd"], "l2", role).formulas(role)
        assert shown[role] == [
            adam["init_std"],
            adam["multiplier"],
            adam["learning_rate"],
            sgd["learning_rate"],
            adam["weight_decay"],
            sgd["weight_decay"],
            adam["eps"],
        ]


@pytest.mark.parametrize("rule", ["independent", "sqrt", "none"])
def test_the_decay_rules_of_the_page_are_those_of_the_code(rule: DecayRule) -> None:
    (shown,) = tables("Decay")
    assert shown[rule] == [
        role_rule("mup", OPTIMIZERS["adamw"], kind, "hidden", decay_rule=rule).formulas("hidden")["weight_decay"]
        for kind in ("decoupled", "independent")
    ]


PLACES: dict[str, tuple[Role, BranchPart]] = {
    "hidden matrix inside a branch": ("hidden", "inside"),
    "last matrix of a branch": ("hidden", "end"),
    "bias or gain inside a branch": ("vector", "inside"),
    "bias at the end of a branch": ("vector", "end"),
    "everything outside of blocks": ("input", "outside"),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_depth_rules_of_the_page_are_those_of_the_code(place: str) -> None:
    role, part = PLACES[place]
    half, one, _ = tables("Depth")
    for shown, alpha in ((half, 0.5), (one, 1.0)):
        rule = role_rule("mup", OPTIMIZERS["adamw"], "decoupled", role, depth_exponent=alpha, part=part).formulas(role)
        assert shown[place] == [rule["multiplier"], rule["learning_rate"], rule["weight_decay"], rule["eps"]]
