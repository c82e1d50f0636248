"""Dataset distillation: ten images, one a class, on which a network learns to read digits.

The pixels are the outer variables (Wang et al. 2018, arXiv 1811.10959). Each outer step trains networks from fresh random
starts on the ten images and moves the pixels by the loss on real ones.

Run it: python examples/bilevel/distillation.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% Real digits
import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

import windtunnel
from windtunnel.bilevel import train

torch.set_num_threads(1)
QUICK = "--quick" in sys.argv
OUTER_STEPS = 20 if QUICK else 80
numbers = torch.Generator().manual_seed(0)
data = load_digits()
order = torch.randperm(len(data.target), generator=numbers)
x, y = torch.tensor(data.data, dtype=torch.float32)[order] / 16, torch.tensor(data.target)[order]
TRAIN, TEST = slice(0, 1000), slice(1000, None)
ten = torch.stack([x[TRAIN][y[TRAIN] == digit][0] for digit in range(10)])


# %% A network that starts anew with every seed
def start(outer, seed):
    own = torch.Generator().manual_seed(seed)
    return {
        "in": torch.randn(64, 32, generator=own) / 8,
        "in bias": torch.zeros(32),
        "out": torch.randn(32, 10, generator=own) / 32**0.5,
        "out bias": torch.zeros(10),
    }


def logits(w, inputs):
    return torch.relu(inputs @ w["in"] + w["in bias"]) @ w["out"] + w["out bias"]


# %% The problem: train on the ten images, be judged on real ones
def training_loss(w, outer, batch):
    return F.cross_entropy(logits(w, outer["images"]), torch.arange(10))


def real_loss(w, outer, batch):
    return F.cross_entropy(logits(w, batch["images"]), batch["labels"])


problem = windtunnel.Bilevel(
    training_loss,
    real_loss,
    start,
    optimizer={"name": "sgd", "learning_rate": lambda outer: outer["log rate"].exp(), "momentum": 0.0},
    steps=20,
    outer_batches={"images": x[TRAIN], "labels": y[TRAIN]},
)
begin = {"images": ten, "log rate": torch.tensor(-1.0)}

# %% Solve it, with four fresh networks in every outer step
found = windtunnel.solve(problem, begin, lambda t: torch.optim.Adam(t, lr=0.02), steps=OUTER_STEPS, seeds=4, clip=5.0)
print(found)


# %% Networks that have seen ten images and nothing else, on digits that chose nothing
def accuracy(outer):
    parameters = train(problem, outer, range(100, 110)).parameters
    each = [logits({key: value[row] for key, value in parameters.items()}, x[TEST]) for row in range(10)]
    return (torch.stack(each).argmax(2) == y[TEST]).double().mean().item()


rate_alone = begin | {"log rate": found.outer["log rate"]}
print(f"test accuracy, ten real images       {max(accuracy(begin), accuracy(rate_alone)):.3f}")
print(f"test accuracy, ten distilled images  {accuracy(found.outer):.3f}")
