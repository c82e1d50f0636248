"""Check that the tensors which an optimizer moves as matrices are stored as matrices."""

from math import prod

from windtunnel.types.base import misfit
from windtunnel.types.modules import ModuleInfo
from windtunnel.types.optimizers import OptimizerInfo
from windtunnel.types.tensors import TensorLaw


def check_that_matrices_are_stored_as_such(module: ModuleInfo, optimizer: OptimizerInfo) -> None:
    """Refuse a module with a tensor whose order of dimensions hides the matrix that the optimizer would orthogonalise.

    A tensor of two dimensions is the same matrix or its transpose. One of more is [outputs, all others]; if a module stores
    outputs elsewhere, such as [heads, width, outputs of a head], a step would mix what does not belong together.
    """
    for law in module.tensors:
        if law.role in optimizer.matrices and not _is_matrix(law):
            raise misfit(
                "/optimizer/name",
                f"{optimizer.label} moves {law.name} as a matrix, and the module stores it as {law.shape}, not as "
                f"[outputs, inputs, ...]: one output sums over {law.fan_in[0]} numbers. Make it the weight of an nn.Linear "
                "or of a convolution, or choose another optimizer, such as adamw",
                optimizer.name,
            )


def _is_matrix(law: TensorLaw) -> bool:
    if len(law.shape) <= 2:
        return len(law.shape) == 2
    rest = law.over is None or sorted(law.over) == list(range(1, len(law.shape)))
    return rest and all(prod(shape[1:]) == fan for shape, fan in zip((law.shape, law.grown), law.fan_in, strict=True))
