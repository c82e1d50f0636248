"""Decides how the matrices of a module of one's own start: what makes the outputs at 0, everything else random."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.families.own.liveness import silent
from hpo.families.own.readouts import readouts
from hpo.families.own.user_module import UserModule, example_inputs
from windtunnel.types import TaskInfo, TensorFacts
from windtunnel.types.tensors import TensorLaw

EXAMPLES = 16


def started(module: UserModule, info: TaskInfo, laws: Sequence[TensorLaw]) -> list[TensorLaw]:
    """The laws with what makes the outputs, which starts at 0 if a gradient reaches every tensor all the same.

    Args:
        module: the module at the table's base width.
        info: the task.
        laws: its tensors, in the order of ``named_parameters``.

    Raises:
        InvalidData: forward fails in float64.
    """
    module = module.double()
    matrices = [law.name for law in laws if law.role in ("input", "hidden", "output") or law.matrix]
    zeros = {law.name for law in laws if law.init_value == 0}
    candidates = [law.name for law in laws if law.role == "output" or law.matrix]
    found = set(readouts(module, info, candidates, matrices, zeros))
    at_zero, at_random = ([_decided(law, law.name in found, zero=zero) for law in laws] for zero in (True, False))
    inputs = example_inputs(info, EXAMPLES)
    inputs = inputs.double() if inputs.is_floating_point() else inputs

    def dead(chosen: Sequence[TensorLaw]) -> list[str]:
        return silent(module, [_fact(law) for law in chosen], inputs, _distance)

    still = dead(at_zero)
    # Where random readouts do not help either, what starts at 0 in the module itself is the reason.
    return at_random if still and len(dead(at_random)) < len(still) else at_zero


def _decided(law: TensorLaw, makes_outputs: bool, *, zero: bool) -> TensorLaw:
    """The law with what its role alone does not say; unchanged where it says all."""
    given = law.init_value is not None or law.init_std is not None
    usual = law.role == "output" and makes_outputs and (zero or given)
    if usual or not (law.role == "output" or law.matrix):
        return law
    return law.model_copy(update={"readout": makes_outputs, "zero": zero and makes_outputs and not given})


def _fact(law: TensorLaw) -> TensorFacts:
    std = max(1, law.fan_in[0]) ** -0.5 if law.at_fan_in else law.init_std
    return TensorFacts(
        name=law.name,
        shape=law.shape,
        role=law.role,
        init_std=std,
        init_value=law.init_value,
        readout=law.readout,
        matrix=law.matrix,
    )


def _distance(outputs: Tensor) -> Tensor:
    """Squared distance to random numbers, a loss that every output has a part in."""
    generator = torch.Generator().manual_seed(0)
    return (outputs - torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)).square().mean()
