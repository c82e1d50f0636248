"""Refuses a module that leaves tensors on the CPU when it is to train on a GPU."""

from collections.abc import Sequence

import torch

from hpo.errors import InvalidData
from hpo.families.own.user_module import example_inputs
from hpo.families.proxy import Proxy
from windtunnel.types import TaskInfo


def refuse_left_behind(model: Proxy, shapes: Sequence[tuple[int, ...]], task: TaskInfo) -> None:
    """Try the module where no tensor of the CPU may be met and no value read: on torch's meta device.

    Args:
        model: the module, with its buffers on the meta device.
        shapes: shape of each of its parameters.
        task: task that it learns.

    Raises:
        InvalidData: it mixes its inputs with a tensor of the CPU, or reads a value.
    """
    meta = torch.device("meta")
    tensors = [torch.empty(2, *shape, device=meta) for shape in shapes]
    try:
        model.population(tensors, example_inputs(task, 2, 2).to(meta), shared=False)
    except (RuntimeError, NotImplementedError) as error:
        said = next(iter(str(error).splitlines()), "")
        raise InvalidData(
            f"the module of task {task.name!r} cannot follow its inputs to a GPU: {type(error).__name__}: {said}",
            "register constants with register_buffer, or make them on the device of what they meet "
            "(torch.arange(n, device=inputs.device)); read no values (.item(), if of a tensor); or train on device cpu",
        ) from error
