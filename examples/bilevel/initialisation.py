"""A learned initialisation: the start from which five steps of SGD learn any sine, beside a pre-trained start.

The task of MAML (Finn et al. 2017, arXiv 1703.03400): ten points of a sine of unknown amplitude and phase. Each seed is a
task of its own, and a population of tasks trains as one computation.

Run it: python examples/bilevel/initialisation.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% Tasks: a seed gives amplitude, phase and points
import math
import sys

import torch

import windtunnel
from windtunnel.bilevel import train

torch.set_num_threads(1)
QUICK = "--quick" in sys.argv
OUTER_STEPS, TASKS = (60, 8) if QUICK else (250, 16)


def points(seed, count, which):
    task = torch.Generator().manual_seed(seed)
    amplitude, phase = 0.1 + 4.9 * torch.rand((), generator=task), math.pi * torch.rand((), generator=task)
    x = 10 * torch.rand(count, 1, generator=torch.Generator().manual_seed(2 * seed + which)) - 5
    return {"x": x, "y": amplitude * torch.sin(x + phase)}


def support(step, seed):
    return points(seed, 10, 0)


def query(step, seed):
    return points(seed, 20, 1)


# %% A network, and its error
def outputs(w, x):
    hidden = torch.tanh(torch.tanh(x @ w["1"] + w["1b"]) @ w["2"] + w["2b"])
    return hidden @ w["3"] + w["3b"]


def loss(w, outer, batch):
    return (outputs(w, batch["x"]) - batch["y"]).square().mean()


numbers = torch.Generator().manual_seed(0)
SHAPES = {"1": (1, 32), "1b": (32,), "2": (32, 32), "2b": (32,), "3": (32, 1), "3b": (1,)}
random_start = {
    name: torch.randn(shape, generator=numbers) / max(1, shape[0]) ** 0.5 if len(shape) > 1 else torch.zeros(shape)
    for name, shape in SHAPES.items()
}

# %% The problem: the initial parameters are outer variables, and so is the logarithm of the learning rate
RATE = {"log rate": torch.tensor(-3.5)}
problem = windtunnel.Bilevel(
    loss,
    loss,
    lambda outer, seed: {name: outer[name] for name in SHAPES},
    optimizer={"name": "sgd", "learning_rate": lambda outer: outer["log rate"].exp(), "momentum": 0.0},
    steps=5,
    batches=support,
    outer_batches=query,
)

# %% Solve it: fresh tasks in every outer step
found = windtunnel.solve(
    problem, random_start | RATE, lambda t: torch.optim.Adam(t, lr=0.005), steps=OUTER_STEPS, seeds=TASKS, clip=10.0
)
print(found)

# %% A start that is pre-trained on the same tasks, all of them at once
pretrained = {name: value.clone().requires_grad_() for name, value in random_start.items()}
optimizer = torch.optim.Adam(pretrained.values(), lr=0.005)
for step in range(2 * OUTER_STEPS):
    optimizer.zero_grad()
    tasks = [points(10_000 + TASKS * step + task, 20, 1) for task in range(TASKS)]
    together = {key: torch.cat([task[key] for task in tasks]) for key in ("x", "y")}
    loss(pretrained, None, together).backward()
    optimizer.step()
pretrained = {name: value.detach() for name, value in pretrained.items()}

# %% Both on tasks that chose nothing, each with the best of several learning rates
fresh = range(1_000_000, 1_000_100)


def after_five(start, log_rate):
    return train(problem, start | {"log rate": torch.tensor(log_rate)}, fresh).loss


rates = [math.log(rate) for rate in (0.003, 0.01, 0.03)]
tuned = {name: found.outer[name] for name in SHAPES}
print(f"loss after 5 steps, pre-trained start  {min(after_five(pretrained, rate) for rate in rates):.3f}")
print(f"loss after 5 steps, learned start      {after_five(tuned, float(found.outer['log rate'])):.3f}")
