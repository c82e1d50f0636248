"""Updates in place: equal to the rules that define them."""

import pytest
import torch

from hpo.training.problem import InnerProblem

SEARCH = [
    {"name": "learning_rate", "scope": "tensor"},
    {"name": "weight_decay", "scope": "role"},
    {"name": "clip_norm"},
]
RULES = {
    "adamw": {"name": "adamw", "decay": "decoupled"},
    "adamw, independent decay": {"name": "adamw", "decay": "independent"},
    "adam, l2, unclipped": {"name": "adam", "clip_norm": None},
    "sgd, l2": {"name": "sgd"},
    "sgd, decoupled decay": {"name": "sgd", "decay": "decoupled"},
}


def problem_of(build_problem, rule: str) -> InnerProblem:
    search = SEARCH[: 2 if "unclipped" in rule else 3]
    return build_problem(
        model={"width": 5, "depth": 2},
        optimizer={"learning_rate": 0.05, "weight_decay": 0.2, "clip_norm": 0.3, **RULES[rule]},
        inner={"steps": 15, "batch_size": 8, "seeds": 2},
        search=search,
    )


@pytest.mark.parametrize("rule", RULES)
def test_a_run_in_place_equals_the_rules_that_define_it(build_problem, rule: str) -> None:
    problem = problem_of(build_problem, rule)
    draw = problem.draw([(0, 0), (0, 1), (0, 2)])
    points = problem.space.start() + torch.tensor([[0.0], [0.3], [-0.4]], dtype=torch.float64)
    with torch.no_grad():
        table = problem.coefficients(points)
        start = state = problem.initial(draw, table)
        for step in range(problem.steps):
            gradient = problem.gradient(state[0], table, problem.batch(draw, step))
            state = problem.apply_update(state, gradient, table.at(step), step)
    seen: list[int] = []
    found = problem.reach(start, table, draw, 0, problem.steps, seen.append)
    for mine, expected in zip(found, state, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)
    assert seen == [3] * problem.steps


def test_what_is_given_is_left_alone_and_every_way_gives_the_same_bits(build_problem) -> None:
    problem = problem_of(build_problem, "adamw")
    draw = problem.draw([(0, 0)])
    with torch.no_grad():
        table = problem.coefficients(problem.space.start()[None])
        start = problem.initial(draw, table)
    copies = [part.clone() for part in start]
    reached = problem.reach(start, table, draw, 0, 6, lambda _: None)
    states = problem.advance(start, table, draw, 0, 6, lambda _: None)
    assert all(torch.equal(part, copy) for part, copy in zip(start, copies, strict=True))
    assert all(torch.equal(part, other) for part, other in zip(reached, states[-1], strict=True))
    assert states[0] is start and len(states) == 7
