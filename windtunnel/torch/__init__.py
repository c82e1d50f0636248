"""Apply a transfer plan to a model of your own: initial weights, forward multipliers, optimizer groups, schedule.

Needs torch and the wire types, nothing else::

    plan = TransferPlan.model_validate_json(Path("plan.json").read_text())
    optimizer = windtunnel.torch.optimizer(model, plan)      # initialises the model, too
    schedule = windtunnel.torch.schedule(optimizer, plan)
    for inputs, labels in batches:
        optimizer.zero_grad()
        cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        schedule.step()

The model and your training loop must do everything that acts in the forward pass or in the loss; ``plan.in_your_loop``
lists it.
``criterion`` is the plan's loss, ``GaussianDropout``, ``GaussianNoise`` and ``RandomShift`` are its regularisers.
If the plan's regularisers follow a schedule, the optimizer counts its updates and adjusts those layers and its L2 penalty;
give it to ``criterion``, too.
A state dict has weights times multipliers: a model without the plan loads it and has the same outputs, and a model with
the plan divides by them. ``fold`` does the same to the model itself.
"""

try:
    import torch as _torch  # noqa: F401 - to say what is missing before one of the files below does
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "windtunnel.torch needs PyTorch, which the client alone does not install: pip install torch", name=error.name
    ) from error

from windtunnel.torch._apply import apply, multiplier, optimizer, schedule
from windtunnel.torch._folding import fold
from windtunnel.torch._loss import criterion
from windtunnel.torch._matching import PlanMismatch
from windtunnel.torch._multipliers import ScaleInput, ScaleOutput
from windtunnel.torch._regularisers import GaussianDropout, GaussianNoise, RandomShift

__all__ = [
    "GaussianDropout",
    "GaussianNoise",
    "PlanMismatch",
    "RandomShift",
    "ScaleInput",
    "ScaleOutput",
    "apply",
    "criterion",
    "fold",
    "multiplier",
    "optimizer",
    "schedule",
]
