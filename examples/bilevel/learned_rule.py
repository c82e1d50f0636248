"""A learned update rule: six numbers of a rule between SGD, momentum, RMSprop and signs, tuned through whole runs.

The rule is a plain function of flat tensors; its settings are functions of the outer variables (in the spirit of Metz et
al. 2022, arXiv 2211.09760, with six numbers in place of a network). It is judged on tasks that it was not tuned on.

Run it: python examples/bilevel/learned_rule.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% Tasks: small networks that learn random teachers
import sys

import torch

import windtunnel
from windtunnel.bilevel import train

torch.set_num_threads(1)
QUICK = "--quick" in sys.argv
STEPS, OUTER_STEPS = (15, 15) if QUICK else (30, 60)


def teacher(seed):
    own = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 4, generator=own) * torch.tensor([2.0, 1.0, 0.3, 0.1])
    y = torch.tanh(x @ torch.randn(4, 8, generator=own)) @ torch.randn(8, 1, generator=own)
    return {"x": x, "y": y / y.std()}


def start(outer, seed):
    own = torch.Generator().manual_seed(seed + 1)
    return {
        "in": torch.randn(4, 16, generator=own) / 2,
        "bias": torch.zeros(16),
        "out": torch.randn(16, 1, generator=own) / 4,
    }


def loss(w, outer, batch):
    return (torch.tanh(batch["x"] @ w["in"] + w["bias"]) @ w["out"] - batch["y"]).square().mean()


# %% The rule, and the six numbers
def rule(parameters, gradient, memory, settings, step):
    momentum, square = memory
    momentum = settings["keep"] * momentum + (1 - settings["keep"]) * gradient
    square = settings["keep square"] * square + (1 - settings["keep square"]) * gradient.square()
    scaled = momentum / (square + 1e-6) ** (settings["power"] / 2)
    move = scaled + settings["plain"] * gradient
    return parameters - settings["rate"] / (1 + settings["slower"] * step) * move, (momentum, square)


problem = windtunnel.Bilevel(
    loss,
    loss,
    start,
    optimizer={
        "update": rule,
        "memory": 2,
        "rate": lambda outer: outer["rule"][0].exp(),
        "keep": lambda outer: outer["rule"][1].sigmoid(),
        "keep square": lambda outer: outer["rule"][2].sigmoid(),
        "power": lambda outer: outer["rule"][3].sigmoid(),
        "plain": lambda outer: outer["rule"][4],
        "slower": lambda outer: outer["rule"][5].exp(),
    },
    steps=STEPS,
    batches=lambda step, seed: teacher(seed),
    outer_batches=lambda step, seed: teacher(seed),
)

# %% Solve it: eight fresh tasks in every outer step
begin = {"rule": torch.tensor([-3.0, 0.0, 2.0, 0.0, 0.0, -4.0])}
found = windtunnel.solve(
    problem, begin, lambda t: torch.optim.Adam(t, lr=0.1), steps=OUTER_STEPS, seeds=8, clip=1.0, adjoint="bounded"
)
print(found)

# %% The six numbers
rate, keep, keep_square, power, plain, slower = found.outer["rule"]
print(
    f"rate {rate.exp():.3f}  keep {keep.sigmoid():.2f}  keep square {keep_square.sigmoid():.3f}  "
    f"power {power.sigmoid():.2f}  plain {plain:.2f}  slower {slower.exp():.3f}"
)

# %% On tasks that chose nothing, beside Adam with the best of twelve learning rates
fresh = range(1_000_000, 1_000_032)


def mean_loss(stated, outer):
    return train(stated, outer, fresh).loss


adam = windtunnel.Bilevel(
    loss,
    loss,
    start,
    optimizer={"name": "adam", "learning_rate": lambda outer: outer["log rate"].exp()},
    steps=STEPS,
    batches=lambda step, seed: teacher(seed),
    outer_batches=lambda step, seed: teacher(seed),
)
rates = torch.linspace(-5.5, 0, 12)
best = min(mean_loss(adam, {"log rate": rate}) for rate in rates)
print(f"loss after {STEPS} steps, rule as it began          {mean_loss(problem, begin):.4f}")
print(f"loss after {STEPS} steps, Adam, best of 12 rates    {best:.4f}")
print(f"loss after {STEPS} steps, learned rule              {mean_loss(problem, found.outer):.4f}")
