"""DARTS-style search: mixture weights of candidate operations, tuned by hypergradients through whole training runs.

Every layer of a network is a mixture of operations, sum_o softmax(alpha)_o o(W x + b), as in DARTS (Liu, Simonyan and Yang
2019, arXiv 1806.09055). DARTS steps alpha along with the weights, by the gradient of the present validation loss; here
alpha follows the derivative of the validation loss *after* training, through all updates, so it is judged by the networks
that are trained with it. The data come from a network whose layers are known, so that the result can be checked.

Run it: python examples/mixture_weights.py [--quick]. It needs the extra `worker`, and no server.
"""

# %% What stands for choice: sizes of the search
import argparse
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpo.estimators.reverse import Reverse
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.describing import describe
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.tasks import data_of
from hpo.training.problem import Batch, InnerProblem
from hpo.training.space import Space
from windtunnel import UserTask
from windtunnel.types import JobSpec

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="a search of seconds, to see that it runs")
QUICK = parser.parse_args().quick
STEPS, OUTER_STEPS, SEEDS, WIDTH = (60, 12, 4, 16) if QUICK else (150, 30, 6, 32)

# %% The candidates, and a network that mixes them
OPERATIONS = {"identity": lambda x: x, "tanh": torch.tanh, "square": torch.square, "sine": lambda x: torch.sin(2 * x)}
LAYERS, FEATURES = 2, 4
CANDIDATES = tuple(f"layer {layer}: {name}" for layer in range(LAYERS) for name in OPERATIONS)


class Mixed(nn.Module):
    """A network whose nonlinearities are mixtures, with ``shares`` [layers, operations] whose rows sum to 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(FEATURES, width), nn.Linear(width, width)])
        self.readout = nn.Linear(width, 1)

    def forward(self, inputs: Tensor, shares: Tensor | None = None) -> Tensor:
        if shares is None:
            shares = torch.full((LAYERS, len(OPERATIONS)), 1 / len(OPERATIONS))
        for layer, share in zip(self.layers, shares, strict=True):
            before = layer(inputs)
            inputs = torch.stack([operation(before) for operation in OPERATIONS.values()], dim=-1) @ share
        return self.readout(inputs)


# %% Data of a teacher whose first layer is a sine and whose second is a hyperbolic tangent
def data() -> list[tuple[Tensor, Tensor, Tensor]]:
    """(inputs, standardised labels, sources) of training, validation and test part; there is one source."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(1200, FEATURES, generator=generator)
    first, second = torch.randn(FEATURES, 6, generator=generator), torch.randn(6, 6, generator=generator)
    last = torch.randn(6, 1, generator=generator)
    labels = (torch.tanh(torch.sin(2 * (inputs @ first / 2)) @ second) @ last)[:, 0]
    labels = (labels - labels.mean()) / labels.std() + 0.05 * torch.randn(len(inputs), generator=generator)
    sources = torch.zeros(len(inputs), dtype=torch.int64)
    parts = (slice(0, 600), slice(600, 900), slice(900, 1200))
    return [(inputs[part], labels[part], sources[part]) for part in parts]


TASK = UserTask(
    name="mixed-operations",
    kind="regression",
    input_shape=(FEATURES,),
    examples=(600, 300, 300),
    load=data,
    build=lambda width, depth: Mixed(width),  # noqa: ARG005 - its depth stands
    sources=CANDIDATES,  # what has a mixture weight each
    width=WIDTH,
    depth=1,
)
SPEC = JobSpec.of(
    {
        "task": TASK.name,
        "model": {"width": WIDTH, "depth": 1},
        "optimizer": {"name": "adamw", "learning_rate": 0.02},
        "inner": {"steps": STEPS, "batch_size": 64, "seeds": SEEDS},
        "search": [{"name": "mixture_weight", "low": 1e-3, "high": 1e3}],
    },
    TASK.info_with(describe(TASK)),
)


# %% The inner problem: Windtunnel's, but for what the mixture weights act on
class Search(InnerProblem):
    """Training runs whose mixture weights weigh operations of the forward pass, not data sources.

    They act in training and in validation, as those of DARTS do; the engine differentiates through both.
    """

    @classmethod
    def of(cls, spec: JobSpec) -> "Search":
        """The problem of a spec."""
        tensors = proxy_tensors(spec.model, spec.info)
        deviations = [base_init_std(tensor, spec.model.activation) for tensor in tensors]
        made = cls(spec, Layout(tensors), deviations, Space.from_spec(spec, tensors), data_of(spec))
        made.sources = None  # no example is weighted
        return made

    @staticmethod
    def softmax(weights: Tensor) -> Tensor:
        """Shares [..., layers, operations] of sum 1, from weights [..., candidates]: the softmax of their logarithms."""
        layers = weights.unflatten(-1, (LAYERS, len(OPERATIONS)))
        return layers / layers.sum(-1, keepdim=True)

    def outputs(
        self,
        tensors: Sequence[Tensor],
        loss: Mapping[str, Tensor],
        inputs: Tensor,
        noise: Mapping[str, Tensor] | None = None,  # noqa: ARG002 - no regulariser is on
    ) -> Tensor:
        """Outputs of every member with its own parameters and its own mixture, [members, batch, 1]."""
        names = [fact.name for fact in self.layout.tensors]

        def one(parameters: tuple[Tensor, ...], shares: Tensor, batch: Tensor) -> Tensor:
            return functional_call(NETWORK, dict(zip(names, parameters, strict=True)), (batch, shares))

        each = 0 if inputs.dim() == 3 else None  # a batch for each member, or one for all
        return vmap(one, in_dims=(0, 0, each))(tuple(tensors), self.softmax(loss["mixture_weight"]), inputs)

    def training_loss(self, tensors: Sequence[Tensor], loss: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Mean squared error, [members]."""
        return (self.outputs(tensors, loss, batch.inputs)[..., 0] - batch.labels).square().mean(dim=1)


with torch.device("meta"):
    NETWORK = Mixed(WIDTH)
problem = Search.of(SPEC)
uniform = problem.space.start()


# %% Outer loop: the mean hypergradient over seeds moves alpha
def seeds(purpose: int, step: int) -> list[tuple[int, ...]]:
    """Seed paths for a purpose that no other step uses."""
    return [(0, purpose, step, member) for member in range(SEEDS)]


alpha = uniform.clone().requires_grad_()
outer = torch.optim.Adam([alpha], lr=0.3)
estimator = Reverse(checkpointing="none")
print(f"{OUTER_STEPS} outer steps of {SEEDS} runs of {STEPS} updates; validation loss of the mixture:")
for step in range(OUTER_STEPS):
    estimate = estimator.estimate(problem, alpha.detach().expand(SEEDS, -1), problem.draw(seeds(0, step)))
    alpha.grad = estimate.gradient.mean(dim=0).to(alpha.dtype)
    outer.step()
    with torch.no_grad():
        alpha.copy_(problem.space.clamp(alpha))
    if step % max(1, OUTER_STEPS // 8) == 0:
        print(f"  step {step:3d}  {estimate.value.mean():.4f}")

# %% What was found
found = Search.softmax(problem.space.values(alpha.detach()))
for layer, shares in enumerate(found):
    told = "  ".join(f"{name} {share:.2f}" for name, share in zip(OPERATIONS, shares, strict=True))
    print(f"layer {layer}:  {told}")


# %% Judged on fresh seeds and on data that chose nothing, beside the uniform mixture
def test_loss(point: Tensor) -> tuple[float, float]:
    """Mean and standard error over seeds of the test loss after training at a point."""
    trained = problem.train(point.expand(SEEDS, -1), problem.draw(seeds(1, 0)))
    losses, _ = problem.evaluate(trained.parameters, trained.loss, problem.data.test)
    return losses.mean().item(), (losses.std() / SEEDS**0.5).item()


strongest = torch.full((LAYERS, len(OPERATIONS)), 1e-3)
strongest[torch.arange(LAYERS), found.argmax(dim=1)] = 1e3
contenders = {
    "uniform mixture": uniform,
    "tuned mixture": alpha.detach(),
    "strongest operation alone": problem.space.coordinates(strongest.flatten().double()),
}
for name, point in contenders.items():
    mean, error = test_loss(point)
    print(f"{name:26s} test loss {mean:.4f} +- {error:.4f}")
