"""A weight for every training example, tuned on a few clean ones: 30 % of the training labels are wrong.

The weighted loss trains a network, a small clean set judges it, and the hypergradient says of each of 600 examples whether
more of it would have helped (Ren et al. 2018, arXiv 1803.09050, through whole runs instead of one step). The weights know
nothing of which labels are wrong; the example checks afterwards that they found out.

Run it: python examples/bilevel/example_weights.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% Digits, 30 % of whose training labels are replaced by wrong ones
import dataclasses
import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import windtunnel
from windtunnel.bilevel import train

torch.set_num_threads(1)
QUICK = "--quick" in sys.argv
STEPS, OUTER_STEPS, LONG = (30, 8, 300) if QUICK else (60, 25, 600)
numbers = torch.Generator().manual_seed(0)
data = load_digits()
order = torch.randperm(len(data.target), generator=numbers)
x, y = torch.tensor(data.data, dtype=torch.float64)[order] / 16, torch.tensor(data.target)[order]
TRAIN, CLEAN = slice(0, 600), slice(600, 700)
TEST = slice(700, None)
wrong = torch.rand(600, generator=numbers) < 0.3
noisy = torch.where(wrong, (y[TRAIN] + torch.randint(1, 10, (600,), generator=numbers)) % 10, y[TRAIN])


# %% A network with one hidden layer
def logits(w, inputs):
    return torch.tanh(inputs @ w["in"] + w["in bias"]) @ w["out"] + w["out bias"]


start = {
    "in": torch.randn(64, 24, generator=numbers, dtype=torch.float64) / 8,
    "in bias": torch.zeros(24, dtype=torch.float64),
    "out": torch.zeros(24, 10, dtype=torch.float64),
    "out bias": torch.zeros(10, dtype=torch.float64),
}


# %% The problem: weights of sum 1 in the training loss, the clean examples in the outer loss
def training_loss(w, outer, batch):
    losses = F.cross_entropy(logits(w, x[TRAIN]), noisy, reduction="none")
    return torch.softmax(outer["weights"], 0) @ losses


def clean_loss(w, outer, batch):
    return F.cross_entropy(logits(w, x[CLEAN]), y[CLEAN])


problem = windtunnel.Bilevel(training_loss, clean_loss, start, optimizer={"name": "sgd", "learning_rate": 0.1}, steps=STEPS)

# %% Solve it
uniform = {"weights": torch.zeros(600, dtype=torch.float64)}
found = windtunnel.solve(problem, uniform, lambda tensors: torch.optim.Adam(tensors, lr=0.3), steps=OUTER_STEPS)
print(found)

# %% What the weights know
auc = roc_auc_score(~wrong, found.outer["weights"])
print(f"AUC of the weights: {auc:.3f} (0.5: they know nothing of which labels are right)")


# %% What it is worth on examples that chose nothing, in a training so long that wrong labels are learned by heart
for name, outer in {"all weights equal": uniform, "tuned weights": found.outer}.items():
    long = dataclasses.replace(problem, steps=LONG)
    w = {key: value[0] for key, value in train(long, outer).parameters.items()}
    right = (logits(w, x[TEST]).argmax(1) == y[TEST]).double().mean()
    print(f"test accuracy, {name:18s} {right:.3f}")
