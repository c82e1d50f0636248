"""Sizes of a job that follow from its spec: parameters, optimizer state, activations, coordinates."""

from dataclasses import dataclass
from math import prod

from hpo.mup.labels import keys
from hpo.mup.proxies import EXPANSION, proxy_tensors, stem_size
from windtunnel.types.hyperparameters import REGULARISERS
from windtunnel.types.model import ModelSpec
from windtunnel.types.spec import JobSpec, SearchItem
from windtunnel.types.tasks import TASKS, TaskInfo


@dataclass(frozen=True)
class Footprint:
    """Numbers of one example and one member in one forward pass."""

    saved: int
    """Floats that a training pass keeps for its backward pass."""
    live: int
    """Most floats alive at once where no graph is kept."""
    multiply_adds: int


def parameters(spec: JobSpec) -> int:
    """Parameters of the proxy."""
    return sum(prod(fact.shape) for fact in proxy_tensors(spec.model, TASKS[spec.task]))


def state_copies(spec: JobSpec) -> int:
    """Copies of the parameters in the optimizer's state."""
    return spec.optimizer.info.state


def footprint(model: ModelSpec, task: TaskInfo) -> Footprint:
    """What one example takes in the family's forward pass."""
    width, depth, classes = model.width, model.depth, task.classes
    matrices = [prod(fact.shape) for fact in proxy_tensors(model, task) if len(fact.shape) > 1]
    match model.family:
        case "mlp":
            return Footprint(
                saved=task.features + 2 * depth * width + 3 * classes,
                live=3 * width + 2 * classes,
                multiply_adds=sum(matrices),
            )
        case "resnet":
            assert task.image is not None
            _, stride = stem_size(task.image)
            positions = prod(side // stride for side in task.image[1:])
            return Footprint(
                saved=task.features + (7 * depth + 3) * width * positions + 3 * classes,
                live=12 * width * positions,
                multiply_adds=positions * sum(matrices),
            )
        case "module":
            assert task.module is not None
            saved = task.module.saved_at(width, depth)
            return Footprint(saved=saved, live=saved, multiply_adds=task.module.multiply_adds_at(width, depth))
        case "transformer":
            context, heads = task.features, width // model.head
            attention = 3 * heads * context
            token = (3 + 18 * depth) * width + depth * attention + 3 * classes
            live = 12 * width + 5 * heads * context + classes
            # Of two products of a query with all keys and of the weights with all values, each context * width.
            used = depth * (4 + 2 * EXPANSION) * width * width + width * classes + 2 * depth * context * width
            return Footprint(saved=context * token, live=context * live, multiply_adds=context * used)


def shift_floats(spec: JobSpec) -> int:
    """Floats that an example keeps whose image is shifted, as a forward pass does; 0 without augmentation.

    A matrix for each side, and the image moved along one of them.
    """
    image = TASKS[spec.task].image
    if image is None or spec.start_value("augmentation") is None:
        return 0
    return sum(side * side for side in image[1:]) + prod(image)


def response_parameters(spec: JobSpec) -> int:
    """R: a row for each row of the weights, and a direction in the k regularisers for each of its units and each bias."""
    facts = proxy_tensors(spec.model, TASKS[spec.task])
    k = sum(_coordinates(spec, item) for item in spec.search if item.name in REGULARISERS)
    channels = sum(fact.shape[1 if fact.name.endswith("embedding.weight") else 0] for fact in facts)
    return sum(prod(fact.shape) for fact in facts) + k * channels


def coordinates(spec: JobSpec) -> int:
    """k: number of single hyperparameters that the search items stand for."""
    return sum(_coordinates(spec, item) for item in spec.search)


def rates(spec: JobSpec) -> int:
    """Learning rates that are searched, each a coordinate of its own."""
    return sum(_coordinates(spec, item) for item in spec.search if item.name == "learning_rate")


def _coordinates(spec: JobSpec, item: SearchItem) -> int:
    return len(keys(spec, item, proxy_tensors(spec.model, TASKS[spec.task])))
