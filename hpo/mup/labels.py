"""What the coordinates of a search space are called, known from the spec and the tensors' roles. Imports no torch."""

from collections.abc import Sequence

from hpo.mup.resolve import IDLE
from windtunnel.types import JobSpec, SearchItem, TensorFacts


def keys(spec: JobSpec, item: SearchItem, tensors: Sequence[TensorFacts]) -> list[str]:
    """What an item has a value each for: roles (or groups), tensors, layers, sources, knots; [""] where it is one for all.

    Args:
        spec: of the job.
        item: of its search.
        tensors: of its proxy.

    Returns:
        Empty where the item acts on nothing.
    """
    if item.name == "mixture_weight":
        return list(spec.info.sources)
    if item.name == "knot":
        return spec.knot_keys
    subject = [tensor for tensor in tensors if tensor.role not in IDLE.get(item.name, frozenset())]
    match item.scope:
        case "global":
            return [""]
        case "role":
            return list(dict.fromkeys(tensor.part for tensor in subject))
        case "tensor":
            return [tensor.name for tensor in subject]
        case "layer":
            return list(spec.model.layers)


def label(name: str, key: str) -> str:
    """``learning_rate``, ``learning_rate.hidden``, ``learning_rate.layers.1.weight``."""
    return f"{name}.{key}" if key else name


def labels(spec: JobSpec, tensors: Sequence[TensorFacts]) -> list[str]:
    """Every coordinate of a job's search, in order."""
    return [label(item.name, key) for item in spec.search for key in keys(spec, item, tensors)]
