"""Facts of the multilayer perceptron. Imports no torch."""

from hpo.families.facts.family import (
    CoordinateCheck,
    FamilyFacts,
    Footprint,
    Measured,
    check_sizes,
    fact,
    matrices,
    readout,
)
from windtunnel.types.model import ModelSpec
from windtunnel.types.results import TensorFacts
from windtunnel.types.tasks import TaskInfo


class MLPFacts(FamilyFacts):
    """``depth`` hidden layers with biases and a linear readout."""

    def tensors(self, model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
        """Tensors of the hidden layers in order, weight before bias, then those of the readout."""
        return mlp_tensors(task.features, task.classes, model.width, model.depth)

    def footprint(self, model: ModelSpec, task: TaskInfo) -> Footprint:
        """Every weight is used once."""
        return Footprint(
            saved=task.features + 2 * model.depth * model.width + 3 * task.classes,
            live=3 * model.width + 2 * task.classes,
            multiply_adds=matrices(self.tensors(model, task)),
        )


def mlp_tensors(features: int, classes: int, width: int, depth: int) -> list[TensorFacts]:
    """Tensors of an MLP with ``depth`` hidden layers, in the order of the module's ``named_parameters``.

    ``layers.0.weight`` [width, features], ``layers.i.weight`` [width, width], ``layers.i.bias`` [width],
    ``readout.weight`` [classes, width], ``readout.bias`` [classes].

    Raises:
        ValueError: a size is below 1.
    """
    check_sizes("an MLP", features=features, classes=classes, width=width, depth=depth)
    tensors: list[TensorFacts] = []
    for index in range(depth):
        tensors.append(
            fact(f"layers.{index}.weight", [width, width if index else features], "hidden" if index else "input")
        )
        tensors.append(fact(f"layers.{index}.bias", [width], "vector"))
    return tensors + readout(classes, width)


FACTS = MLPFacts(
    Measured(gradient=1.2, slope=1.3, calls=(80, 15), efficiency=0.6, traffic=8),
    CoordinateCheck(batch=128, seeds=4, smallest=64),
)
