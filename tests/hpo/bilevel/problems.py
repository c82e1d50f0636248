"""Small bilevel problems in float64, and their hypergradients by means that share no code with the engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hpo.bilevel.problem import Bilevel

F64 = torch.float64
STEPS = 6


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@dataclass(frozen=True)
class Case:
    """A problem, a point, and what its outer variables act on."""

    problem: Bilevel
    outer: dict[str, Tensor]
    seeds: tuple[int, ...] = (3, 4)
    in_the_losses_alone: bool = True
    in_the_start: bool = False


def rows(step: int, seed: int) -> Tensor:
    return torch.randint(12, (5,), generator=torch.Generator().manual_seed(1000 * seed + step))


INPUTS, LABELS = numbers(0, 12, 3), numbers(1, 12).gt(0).to(F64)


def drawn(step: int, seed: int) -> dict[str, Tensor]:
    at = rows(step, seed)
    return {"index": at, "inputs": INPUTS[at], "labels": LABELS[at]}


def logits(w: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    return torch.tanh(inputs @ w["a.weight"] + w["a.bias"]) @ w["b"]


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    return (torch.nn.functional.softplus(outputs) - labels * outputs).mean()


NETWORK = {"a.weight": 0.5 * numbers(2, 3, 4), "a.bias": 0.1 * numbers(3, 4), "b": numbers(4, 4)}
ADAM = {"name": "adam", "learning_rate": 0.05, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}


def weighted(w: Any, outer: Any, batch: Any) -> Tensor:
    each = torch.nn.functional.softplus(logits(w, batch["inputs"])) - batch["labels"] * logits(w, batch["inputs"])
    return (torch.sigmoid(outer["weights"][batch["index"]]) * each).mean()


def judged(w: Any, outer: Any, batch: Any) -> Tensor:
    return cross_entropy(logits(w, INPUTS.flip(0) * 0.9), LABELS.flip(0))


def mixed(w: Any, outer: Any, batch: Any) -> Tensor:
    """A cell of mixed operations, as in DARTS: the shares act in both losses."""
    inputs, labels = (INPUTS[:6], LABELS[:6]) if batch is None else (batch["inputs"], batch["labels"])
    shares = outer["architecture"].softmax(-1)
    before = inputs @ w["a.weight"] + w["a.bias"]
    after = (torch.stack([before, torch.tanh(before), before.sin()], dim=-1) * shares).sum(-1)
    return cross_entropy(after @ w["b"], labels)


def distilled(w: Any, outer: Any, batch: Any) -> Tensor:
    return cross_entropy(logits(w, outer["images"]), torch.tensor([0.0, 1.0], dtype=F64))


def own_rule(parameters: Any, gradient: Any, memory: Any, settings: Any, step: int) -> Any:
    slow = settings["keep"] * memory[0] + gradient
    return parameters - settings["rate"] / (1 + step) ** 0.5 * (slow + settings["own"] * gradient.tanh()), (slow,)


def adapted(w: Any, outer: Any, batch: Any) -> Tensor:
    return cross_entropy(logits(w, batch["inputs"]), batch["labels"])


CASES = {
    "quadratic": Case(
        Bilevel(
            lambda w, outer, batch: ((1 + outer["l2"].exp()) * w["w"].square()).sum() / 2,
            lambda w, outer, batch: w["w"].square().sum() / 2,
            {"w": numbers(5, 3)},
            optimizer={"name": "sgd", "learning_rate": lambda outer: outer["rate"].exp(), "momentum": 0.0},
            steps=STEPS,
        ),
        {"rate": torch.tensor(-2.0, dtype=F64), "l2": torch.tensor(-1.0, dtype=F64)},
        seeds=(0,),
        in_the_losses_alone=False,
    ),
    "example weights": Case(
        Bilevel(weighted, judged, NETWORK, optimizer=ADAM, steps=STEPS, batches=drawn), {"weights": numbers(6, 12)}
    ),
    "optimizer": Case(
        Bilevel(
            adapted,
            judged,
            NETWORK,
            optimizer={
                "name": "adam",
                "learning_rate": lambda outer: outer["rates"].exp(),
                "beta1": lambda outer: outer["beta"].sigmoid(),
                "beta2": 0.95,
                "eps": 1e-3,
            },
            steps=STEPS,
            batches=drawn,
        ),
        {"rates": -3 + 0.3 * numbers(7, STEPS), "beta": torch.tensor(1.0, dtype=F64)},
        in_the_losses_alone=False,
    ),
    "initialisation": Case(
        Bilevel(
            adapted,
            lambda w, outer, batch: cross_entropy(logits(w, batch["inputs"]), batch["labels"]),
            lambda outer, seed: {name: outer[name] + 0.01 * numbers(seed, *value.shape) for name, value in NETWORK.items()},
            optimizer={"name": "sgd", "learning_rate": 0.3, "momentum": 0.5},
            steps=STEPS,
            batches=drawn,
            outer_batches=lambda step, seed: drawn(100 + step, seed),
        ),
        dict(NETWORK),
        in_the_losses_alone=False,
        in_the_start=True,
    ),
    "distillation": Case(
        Bilevel(distilled, judged, NETWORK, optimizer={"name": "sgd", "learning_rate": 0.5}, steps=STEPS),
        {"images": numbers(8, 2, 3)},
    ),
    "architecture": Case(
        Bilevel(
            mixed,
            lambda w, outer, batch: mixed(w, outer, None),
            NETWORK,
            optimizer=ADAM,
            steps=STEPS,
            batches=drawn,
        ),
        {"architecture": numbers(9, 4, 3)},
    ),
    "learned rule": Case(
        Bilevel(
            adapted,
            judged,
            NETWORK,
            optimizer={
                "update": own_rule,
                "memory": 1,
                "rate": lambda outer: outer["rule"][0].exp(),
                "keep": lambda outer: outer["rule"][1].sigmoid(),
                "own": lambda outer: outer["rule"][2],
            },
            steps=STEPS,
            batches=drawn,
        ),
        {"rule": torch.tensor([-2.0, 1.0, 0.3], dtype=F64)},
        in_the_losses_alone=False,
    ),
}


def settings_at(case: Case, outer: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
    found = {}
    for name, value in case.problem.optimizer.items():
        if name in ("name", "update", "memory"):
            continue
        given = torch.as_tensor(value(outer) if callable(value) else value, dtype=F64)
        found[name] = given[step] if given.dim() else given
    return found


def naive_loss(case: Case, outer: Mapping[str, Tensor], seed: int, cut: int = 0, look: Any = None) -> Tensor:
    """Outer loss after a plain loop of tensors with its graph.

    Args:
        case: problem and point.
        outer: outer variables, leaves of the graph.
        seed: seed of the run.
        cut: number of the update before which the state is detached; 0: not at all.
        look: called with (parameters, step) after each update; its result goes on as the parameters.
    """
    problem = case.problem
    start = problem.init(outer, seed) if callable(problem.init) else problem.init
    w = {name: value.clone().requires_grad_() for name, value in start.items()}
    memory = {name: [torch.zeros_like(value)] * 2 for name, value in w.items()}
    inner, _ = problem.losses
    for step in range(problem.steps):
        if cut and step == cut:
            w = {name: value.detach().requires_grad_() for name, value in w.items()}
            memory = {name: [part.detach() for part in parts] for name, parts in memory.items()}
        batch = problem.batches(step, seed) if problem.batches else None
        slopes = torch.autograd.grad(inner(w, outer, batch), [*w.values()], create_graph=True)
        at, moved = settings_at(case, outer, step), {}
        for (name, value), g in zip(w.items(), slopes, strict=True):
            first, second = memory[name]
            if "update" in problem.optimizer:
                moved[name], (first,) = own_rule(value, g, (first,), at, step)
            elif problem.optimizer["name"] == "sgd":
                first = at.get("momentum", torch.tensor(0.9, dtype=F64)) * first + g
                moved[name] = value - at["learning_rate"] * first
            else:
                first = at["beta1"] * first + (1 - at["beta1"]) * g
                second = at["beta2"] * second + (1 - at["beta2"]) * g**2
                low, high = first / (1 - at["beta1"] ** (step + 1)), second / (1 - at["beta2"] ** (step + 1))
                moved[name] = value - at["learning_rate"] * low / (high.sqrt() + at["eps"])
            memory[name] = [first, second]
        w = moved if look is None else look(moved, memory, step)
    batch = problem.outer_batches(problem.steps, seed) if problem.outer_batches else None
    return problem.outer_loss(w, outer, batch)


def differences(case: Case, outer: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Five-point central differences of the plain loop."""
    width = 2e-4

    def at(name: str, place: int, offset: float) -> Tensor:
        moved = {key: value.detach().clone() for key, value in outer.items()}
        moved[name].view(-1)[place] += offset
        return naive_loss(case, moved, seed).detach()

    found = {}
    for name, value in outer.items():
        slopes = [
            (
                8 * (at(name, place, width) - at(name, place, -width))
                - (at(name, place, 2 * width) - at(name, place, -2 * width))
            )
            / (12 * width)
            for place in range(value.numel())
        ]
        found[name] = torch.stack(slopes).view(value.shape)
    return found


def through_graph(loss: Callable[[Mapping[str, Tensor]], Tensor], outer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Derivative of a function by the outer variables, through its graph; 0 for those that it leaves out."""
    leaves = {name: value.clone().requires_grad_() for name, value in outer.items()}
    found = torch.autograd.grad(loss(leaves), [*leaves.values()], materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def short(case: Case, **fields: Any) -> Bilevel:
    return replace(case.problem, **fields)
