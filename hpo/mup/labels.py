"""Labels of the coordinates of a search space, from the spec and the tensors' roles. Imports no torch."""

from collections.abc import Sequence

from hpo.mup.resolve import ACTS, subjects
from windtunnel.types import JobSpec, SearchItem, TensorFacts


def keys(spec: JobSpec, item: SearchItem, tensors: Sequence[TensorFacts]) -> list[str]:
    """Names of the parts of the proxy that each get their own value of a search item.

    Args:
        spec: the job.
        item: an item of the job's search.
        tensors: tensors of the proxy.

    Returns:
        Roles (or groups), tensors, layers, data sources or knots; [""] for a single value; [] if the item acts on nothing.
    """
    if item.name == "mixture_weight":
        return list(spec.info.sources)
    if item.name == "knot":
        return spec.knot_keys
    subject = subjects(spec, item.name, tensors)
    match item.scope:
        case "global":
            return [""] if subject or item.name not in ACTS else []
        case "role":
            return list(dict.fromkeys(tensor.part for tensor in subject))
        case "tensor":
            return [tensor.name for tensor in subject]
        case "layer":
            return list(spec.model.layers)


def label(name: str, key: str) -> str:
    """Label of a coordinate, such as ``learning_rate``, ``learning_rate.hidden`` or ``learning_rate.layers.1.weight``."""
    return f"{name}.{key}" if key else name


def labels(spec: JobSpec, tensors: Sequence[TensorFacts]) -> list[str]:
    """Label of every coordinate of a job's search, in order."""
    return [label(item.name, key) for item in spec.search for key in keys(spec, item, tensors)]
