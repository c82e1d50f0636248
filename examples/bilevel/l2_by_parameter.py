"""A penalty for every parameter: 1,930 lambdas tuned at once on the validation loss, beside one lambda for all.

Grid search pays for every hyperparameter; one hypergradient has the derivative by all of them (Lorraine et al. 2020,
arXiv 1911.02590).

Run it: python examples/bilevel/l2_by_parameter.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% Few examples of digits, so that a penalty matters
import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

import windtunnel
from windtunnel.bilevel import train

torch.set_num_threads(1)
QUICK = "--quick" in sys.argv
STEPS, OUTER_STEPS = (30, 6) if QUICK else (80, 20)
numbers = torch.Generator().manual_seed(0)
data = load_digits()
order = torch.randperm(len(data.target), generator=numbers)
x, y = torch.tensor(data.data, dtype=torch.float64)[order] / 16, torch.tensor(data.target)[order]
TRAIN, VALID, TEST = slice(0, 60), slice(60, 460), slice(460, None)

# %% A network of 1,930 parameters
HIDDEN = 26
start = {
    "in": torch.randn(64, HIDDEN, generator=numbers, dtype=torch.float64) / 8,
    "out": torch.randn(HIDDEN, 10, generator=numbers, dtype=torch.float64) / HIDDEN**0.5 / 2,
    "bias": torch.zeros(6, dtype=torch.float64),
}


def logits(w, inputs):
    shift = F.pad(w["bias"], (0, HIDDEN - 6))
    return torch.tanh(inputs @ w["in"] + shift) @ w["out"]


# %% One problem for both: lambda is one number, or has the shape of each parameter
def training_loss(w, outer, batch):
    penalty = sum((outer.get(name, outer.get("all")).exp() * w[name].square()).sum() for name in w)
    return F.cross_entropy(logits(w, x[TRAIN]), y[TRAIN]) + penalty


def validation_loss(w, outer, batch):
    return F.cross_entropy(logits(w, x[VALID]), y[VALID])


problem = windtunnel.Bilevel(
    training_loss,
    validation_loss,
    start,
    optimizer={"name": "adam", "learning_rate": 0.05},
    steps=STEPS,
)
LOW = -6.0
one = {"all": torch.tensor(LOW, dtype=torch.float64)}
each = {name: torch.full_like(value, LOW) for name, value in start.items()}

# %% Solve both
outcomes = {}
for name, outer in {"one lambda": one, f"{sum(v.numel() for v in each.values()):,} lambdas": each}.items():
    outcomes[name] = windtunnel.solve(problem, outer, lambda tensors: torch.optim.Adam(tensors, lr=0.3), steps=OUTER_STEPS)
    print(f"{name:14s} {outcomes[name]}")


# %% Judged on examples that chose nothing
for name, outer in {"no penalty": {"all": one["all"] - 34}, **{name: s.outer for name, s in outcomes.items()}}.items():
    done = train(problem, outer)
    w = {key: value[0] for key, value in done.parameters.items()}
    test = F.cross_entropy(logits(w, x[TEST]), y[TEST])
    print(f"{name:14s} validation loss {done.loss:.3f}  test loss {test:.3f}")
