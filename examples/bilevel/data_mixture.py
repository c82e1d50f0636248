"""Shares of data sources: which of four sources to train on, told by the validation loss after training.

One source is like what the model is for, one is like it but for its scale, one has labels of another task, one is noise.
A job does the same on sources of an uploaded data set: ``search: [{"name": "mixture_weight"}]``.

Run it: python examples/bilevel/data_mixture.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% Four sources
import sys

import torch

import windtunnel
from windtunnel.bilevel import train

torch.set_num_threads(1)
QUICK = "--quick" in sys.argv
OUTER_STEPS = 15 if QUICK else 40
numbers = torch.Generator().manual_seed(0)
SOURCES = ("as it will be used", "half the scale", "another task", "noise")
truth, other = (
    torch.randn(12, generator=numbers, dtype=torch.float64),
    torch.randn(12, generator=numbers, dtype=torch.float64),
)


def examples(count, source):
    x = torch.randn(count, 12, generator=numbers, dtype=torch.float64) * (0.5 if source == 1 else 1.0)
    signal = {0: x @ truth, 1: x @ truth, 2: x @ other, 3: torch.zeros(count, dtype=torch.float64)}[source]
    noise = torch.randn(count, generator=numbers, dtype=torch.float64)
    return x, signal + noise * (1.0 if source != 3 else 4.0)


parts = [examples(40, source) for source in range(4)]
validation, test = examples(200, 0), examples(2000, 0)


# %% The problem: shares weigh the sources' losses
def error(w, x, y):
    return (x @ w["w"] - y).square().mean()


def training_loss(w, outer, batch):
    losses = torch.stack([error(w, *part) for part in parts])
    return torch.softmax(outer["logits"], 0) @ losses


problem = windtunnel.Bilevel(
    training_loss,
    lambda w, outer, batch: error(w, *validation),
    {"w": torch.zeros(12, dtype=torch.float64)},
    optimizer={"name": "sgd", "learning_rate": 0.1, "momentum": 0.5},
    steps=40,
)

# %% Solve it
uniform = {"logits": torch.zeros(4, dtype=torch.float64)}
found = windtunnel.solve(problem, uniform, lambda t: torch.optim.Adam(t, lr=0.2), steps=OUTER_STEPS)
print(found)

# %% The shares
shares = torch.softmax(found.outer["logits"], 0)
for name, share in zip(SOURCES, shares.tolist(), strict=True):
    print(f"  {name:20s} {share:.3f}")


# %% Judged on data that chose nothing
def test_loss(outer):
    w = train(problem, outer).parameters["w"][0]
    return error({"w": w}, *test).item()


print(f"test loss, equal shares       {test_loss(uniform):.3f}")
print(
    f"test loss, first source alone {test_loss({'logits': torch.tensor([20.0, 0.0, 0.0, 0.0], dtype=torch.float64)}):.3f}"
)
print(f"test loss, tuned shares       {test_loss(found.outer):.3f}")
