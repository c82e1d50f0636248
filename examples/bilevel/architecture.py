"""DARTS on a small cell: which operation each layer has, searched by hypergradients, then retrained beside random choices.

Every layer is a mixture of operations, sum_o softmax(alpha)_o o(W x + b) (Liu, Simonyan and Yang 2019, arXiv 1806.09055).
Searched twice: one step ahead, as DARTS does (``greedy``), and through the whole run (``reverse``). The data come from a
network whose layers are known: a sine, then a hyperbolic tangent.

Run it: python examples/bilevel/architecture.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% Candidates, and a network that mixes them
import itertools
import random
import sys

import torch

import windtunnel
from windtunnel.bilevel import train

torch.set_num_threads(1)
QUICK = "--quick" in sys.argv
STEPS, OUTER_STEPS, WIDTH, SEEDS = (40, 10, 12, 2) if QUICK else (100, 25, 24, 4)
OPERATIONS = {"identity": lambda x: x, "tanh": torch.tanh, "square": torch.square, "sine": lambda x: torch.sin(2 * x)}
LAYERS, FEATURES = 2, 4


def outputs(w, shares, x):
    for layer in range(LAYERS):
        before = x @ w[f"{layer}"] + w[f"{layer} bias"]
        x = torch.stack([operation(before) for operation in OPERATIONS.values()], dim=-1) @ shares[layer]
    return (x @ w["out"])[:, 0]


# %% Data of a teacher
numbers = torch.Generator().manual_seed(1)
x = torch.randn(1000, FEATURES, generator=numbers)
first, second = torch.randn(FEATURES, 6, generator=numbers), torch.randn(6, 6, generator=numbers)
y = (torch.tanh(torch.sin(2 * (x @ first / 2)) @ second) @ torch.randn(6, 1, generator=numbers))[:, 0]
y = (y - y.mean()) / y.std()
parts = {"train": (x[:500], y[:500]), "validation": (x[500:700], y[500:700]), "test": (x[700:], y[700:])}


def batch(step, seed):
    rows = torch.randint(500, (64,), generator=torch.Generator().manual_seed(1000 * seed + step))
    return [part[rows] for part in parts["train"]]


def start(outer, seed):
    own = torch.Generator().manual_seed(seed)
    return {
        "0": torch.randn(FEATURES, WIDTH, generator=own) / FEATURES**0.5,
        "0 bias": torch.zeros(WIDTH),
        "1": torch.randn(WIDTH, WIDTH, generator=own) / WIDTH**0.5,
        "1 bias": torch.zeros(WIDTH),
        "out": torch.randn(WIDTH, 1, generator=own) / WIDTH**0.5,
    }


def loss(w, outer, batch):
    return (outputs(w, torch.softmax(outer["alpha"], -1), batch[0]) - batch[1]).square().mean()


# %% The problem
problem = windtunnel.Bilevel(
    loss,
    loss,
    start,
    optimizer={"name": "adam", "learning_rate": 0.02},
    steps=STEPS,
    batches=batch,
    outer_batches=parts["validation"],
)

# %% Two searches
uniform = {"alpha": torch.zeros(LAYERS, len(OPERATIONS))}
chosen = {}
for name, how in {"one step ahead": {"estimator": "greedy"}, "unrolled": {"adjoint": "bounded"}}.items():
    found = windtunnel.solve(
        problem, uniform, lambda t: torch.optim.Adam(t, lr=0.3), steps=OUTER_STEPS, seeds=SEEDS, clip=1.0, **how
    )
    for layer, shares in enumerate(torch.softmax(found.outer["alpha"], -1).tolist()):
        told = "  ".join(f"{operation} {share:.2f}" for operation, share in zip(OPERATIONS, shares, strict=True))
        print(f"{name:14s} layer {layer}:  {told}")
    chosen[name] = tuple(found.outer["alpha"].argmax(-1).tolist())

# %% The chosen ones alone, retrained on fresh seeds and judged on data that chose nothing, beside random ones
fresh = range(100, 100 + SEEDS)


def test_loss(architecture):
    alone = torch.full((LAYERS, len(OPERATIONS)), -30.0)
    alone[torch.arange(LAYERS), list(architecture)] = 30.0
    parameters = train(problem, {"alpha": alone}, fresh).parameters
    losses = [
        loss({key: value[row] for key, value in parameters.items()}, {"alpha": alone}, parts["test"])
        for row in range(len(fresh))
    ]
    return torch.stack(losses).mean().item()


everything = list(itertools.product(range(len(OPERATIONS)), repeat=LAYERS))
picked = random.Random(0).sample(everything, 4 if QUICK else 8)
losses = [test_loss(architecture) for architecture in picked]
names = list(OPERATIONS)
mean = sum(losses) / len(losses)
print(f"random architectures: test loss {mean:.3f} on average, {min(losses):.3f} the best of {len(losses)}")
for name, architecture in chosen.items():
    told = " then ".join(names[operation] for operation in architecture)
    print(f"{name}: test loss {test_loss(architecture):.3f} ({told})")
