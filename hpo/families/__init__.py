"""Model families whose width and depth can be chosen. Weights are left to the parametrization to initialise."""

from hpo.families.dials import NO_DIALS, NO_NOISE, Dials, Noise
from hpo.families.mlp import MLP
from hpo.families.module import UserModule, build_module
from hpo.families.proxy import Proxy
from hpo.families.resnet import ResNet
from hpo.families.transformer import Transformer
from windtunnel.types import ModelSpec, TaskInfo

__all__ = ["MLP", "NO_DIALS", "NO_NOISE", "Dials", "Noise", "Proxy", "ResNet", "Transformer", "UserModule", "build"]


def build(model: ModelSpec, task: TaskInfo) -> Proxy:
    """A module of that family and size for the task; its own initial values mean nothing.

    Raises:
        ValueError: a resnet for a task whose examples are no images.
    """
    match model.family:
        case "mlp":
            return MLP(task.features, task.classes, model.width, model.depth, model.activation, task.image)
        case "resnet":
            if task.image is None:
                raise ValueError(f"a resnet needs images, and examples of task {task.name!r} are none")
            return ResNet(task.image, task.classes, model.width, model.depth, model.activation)
        case "module":
            return build_module(model, task)
        case "transformer":
            return Transformer(task.features, task.classes, model.width, model.depth, model.head, model.activation)
