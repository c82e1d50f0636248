"""The training scan: equal to a plain torch loop, members independent of each other, callbacks that can stop it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hpo.training.problem import Draw, InnerProblem

SMALL = {"model": {"width": 8, "depth": 2}, "inner": {"steps": 12, "batch_size": 16, "seeds": 2}}


def torch_loop(problem: InnerProblem, draw: Draw, member: int) -> torch.Tensor:
    """The same run, written as users of torch write it."""
    spec = problem.spec
    model = problem.build_module().double()
    start = problem.layout.split(draw.noise[member : member + 1])
    model.load_state_dict({name: part[0] for name, part in zip(problem.layout.names, start, strict=True)})
    named = dict(model.named_parameters())
    decayed = [named[fact.name] for fact in problem.layout.tensors if fact.role in ("input", "hidden", "output")]
    rest = [named[fact.name] for fact in problem.layout.tensors if fact.role in ("vector", "scalar")]
    decay = spec.optimizer.weight_decay
    groups = [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
    rate = spec.optimizer.learning_rate
    if spec.optimizer.name == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9)
    else:
        optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[spec.optimizer.name](groups, lr=rate)
    with torch.no_grad():
        table = problem.coefficients(problem.space.start()[None])
    multiplier = table.scheduled["learning_rate"][:, 0, 0] / rate
    for step in range(problem.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * float(multiplier[step])
        batch = problem.batch(draw, step)
        optimizer.zero_grad()
        functional.cross_entropy(model(batch.inputs[member]), batch.labels[member]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return torch.cat([named[name].detach().flatten() for name in problem.layout.names])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_population_equals_plain_torch_loops(build_problem, optimizer) -> None:
    problem = build_problem(optimizer={"name": optimizer, "learning_rate": 0.02, "weight_decay": 0.1}, **SMALL)
    draw = problem.draw([(0, 0), (0, 1), (0, 2)])
    found = problem.train(problem.space.start().expand(3, -1), draw).parameters
    for member in range(3):
        torch.testing.assert_close(found[member], torch_loop(problem, draw, member), rtol=1e-9, atol=1e-12)


def test_a_member_does_not_feel_the_others(build_problem) -> None:
    problem = build_problem(**SMALL)
    draw = problem.draw([(0, 0), (0, 1)])
    points = torch.stack([problem.space.start(), problem.space.start() + 0.7])
    both = problem.train(points, draw).parameters
    alone = problem.train(points[1:], draw.select([1])).parameters
    torch.testing.assert_close(both[1:], alone, rtol=1e-10, atol=1e-13)


def test_a_diverged_member_leaves_the_others_untouched(build_problem) -> None:
    problem = build_problem(
        **SMALL,
        optimizer={"name": "sgd", "clip_norm": None, "learning_rate": 0.01},
        search=[{"name": "learning_rate", "low": 1e-4, "high": 100}],
    )
    wild = problem.space.with_value(problem.space.start(), "learning_rate", 100.0)
    points = torch.stack([problem.space.start(), wild])
    draw = problem.draw([(0, 0), (0, 0)])
    trained = problem.train(points, draw)
    losses, _ = problem.evaluate(trained.parameters, trained.loss, problem.data.validation)
    assert not losses[1] < 1e3
    alone = problem.train(points[:1], draw.select([0])).parameters
    torch.testing.assert_close(trained.parameters[:1], alone, rtol=1e-10, atol=1e-13)


def test_batches_run_through_every_example_before_any_comes_again(build_problem) -> None:
    problem = build_problem(inner={"steps": 40, "batch_size": 64, "seeds": 2})
    order = problem.draw([(0, 0)]).batches.flatten()
    epoch = len(problem.examples.sample().labels)
    assert sorted(order[:epoch].tolist()) == list(range(epoch))
    assert len(set(order[epoch : 2 * epoch].tolist())) == len(order[epoch : 2 * epoch])


def test_seed_paths_that_differ_give_different_draws_and_equal_ones_equal_draws(build_problem) -> None:
    problem = build_problem(**SMALL)
    first, second, again = (problem.draw([path]).noise for path in ((0, 1, 2), (0, 2, 1), (0, 1, 2)))
    assert torch.equal(first, again) and not torch.allclose(first, second)


def test_the_callback_sees_every_step_and_can_stop_the_run(build_problem) -> None:
    problem = build_problem(**SMALL)
    draw = problem.draw([(0, 0), (0, 1)])
    points = problem.space.start().expand(2, -1)
    seen: list[int] = []
    problem.train(points, draw, seen.append)
    assert seen == [2] * problem.steps

    class StopHereError(Exception):
        pass

    def stop(_: int) -> None:
        raise StopHereError

    with pytest.raises(StopHereError):
        problem.train(points, draw, stop)
