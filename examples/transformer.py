"""Tune a small transformer, and train one sixteen times as wide with the plan.

The model is your own `nn.Module`, a GPT-like decoder written below; the data are characters of Python's own standard
library, so nothing is downloaded. At the end the wide model is trained with three sets of values: torch's defaults, the
proxy's tuned values copied unchanged, and the plan.

Run it: python examples/transformer.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% What stands for choice: sizes
import argparse

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu

import windtunnel
import windtunnel.torch
from hpo.tasks import load
from windtunnel import TransferPlan

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="sizes of seconds, to see that it runs")
QUICK = parser.parse_args().quick
PROXY, TARGET, HEAD = (8, 128, 4) if QUICK else (16, 256, 8)
TUNING = (
    {"inner": {"steps": 12, "batch_size": 8, "seeds": 2}, "outer": {"steps": 1, "finish_seeds": 2}}
    if QUICK
    else {"inner": {"steps": 150, "batch_size": 16, "seeds": 4}, "outer": {"steps": 8}}
)
STEPS = 20 if QUICK else 300
torch.manual_seed(0)


# %% The model: every width has heads of the same size, so a wider one has more of them
class Block(nn.Module):
    """Attention and an MLP, each added to the residual stream; norms without trained gains, logits over the head's size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_in = nn.Linear(width, 4 * width, bias=False)
        self.mlp_out = nn.Linear(4 * width, width, bias=False)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, stream: Tensor) -> Tensor:
        batch, context, width = stream.shape
        q, k, v = self.qkv(self.norm(stream)).view(batch, context, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) / HEAD
        future = torch.ones(context, context, dtype=torch.bool).triu(1)
        read = logits.masked_fill(future, float("-inf")).softmax(-1) @ v
        stream = stream + self.attention_out(read.transpose(1, 2).reshape(batch, context, width))
        return stream + self.mlp_out(gelu(self.mlp_in(self.norm(stream))))


class Decoder(nn.Module):
    """A decoder from characters to logits of the next character."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.position = nn.Parameter(torch.randn(CONTEXT, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.readout = nn.Linear(width, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        stream = self.embedding(tokens) + self.position
        for block in self.blocks:
            stream = block(stream)
        return self.readout(self.norm(stream))


# %% The data: tokens [examples, context], and the tokens that follow them
text = load("python-text")
CONTEXT = 32
VOCABULARY = 1 + max(int(part.labels.max()) for part in (text.train, text.validation, text.test))
data = [(part.inputs[:, :CONTEXT], part.labels[:, :CONTEXT]) for part in (text.train, text.validation, text.test)]

# %% Tune the proxy: learning rate and weight decay by role, all by one hypergradient
result = windtunnel.tune(
    Decoder,
    data,
    kind="language",
    classes=VOCABULARY,
    roles={"position": "input"},
    init_std={"position": 1.0},
    model={"width": PROXY, "depth": 2},
    **TUNING,
)
print(result)

# %% The plan for a model sixteen times as wide, and the proxy's own values: a plan for the width they were tuned at
plan = result.plan(width=TARGET, steps=STEPS, force=QUICK)
proxy = result.plan(width=PROXY, steps=STEPS, force=QUICK)
print(f"width {PROXY} -> {plan.width}: {proxy.parameters:,} -> {plan.parameters:,} parameters")
for row in plan.rows:
    print(f"  {row.role:7s} learning rate {row.base_learning_rate:.4f} -> {row.learning_rate:.4f}")
for caveat in plan.not_covered:
    print("  not covered:", caveat)


# %% Three ways to train the wide model
def copied(plan: TransferPlan, proxy: TransferPlan) -> TransferPlan:
    """A plan for the wide model with the proxy's rates, decays, eps and multipliers unchanged, without muP."""
    values = {tensor.name: tensor for tensor in proxy.tensors}
    kept = ("learning_rate", "weight_decay", "eps", "multiplier")
    tensors = [
        tensor.model_copy(update={name: getattr(values[tensor.name], name) for name in kept}) for tensor in plan.tensors
    ]
    return plan.model_copy(update={"tensors": tensors})


def train(values: TransferPlan | None) -> tuple[float, float]:
    """(training loss over the last tenth of the run, test loss) with a plan's values; None: torch's defaults."""
    torch.manual_seed(1)
    model = Decoder(plan.width, plan.depth)
    optimizer = (
        torch.optim.AdamW(model.parameters()) if values is None else windtunnel.torch.optimizer(model, values, seed=1)
    )
    schedule = windtunnel.torch.schedule(optimizer, plan)
    inputs, labels = data[0]
    losses = []
    for _ in range(STEPS):
        rows = torch.randint(len(inputs), (plan.batch_size,))
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs[rows]).flatten(0, 1), labels[rows].flatten())
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    inputs, labels = data[2]
    with torch.no_grad():
        test = cross_entropy(model(inputs).flatten(0, 1), labels.flatten()).item()
    last = losses[-max(1, STEPS // 10) :]
    return sum(last) / len(last), test


for name, values in {
    "torch's defaults": None,
    "proxy's values, copied": copied(plan, proxy),
    "the plan": plan,
}.items():
    training, test = train(values)
    print(f"{name:23s} training loss {training:.3f}  test loss {test:.3f}")
