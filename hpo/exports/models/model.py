"""The interface by which a family's model is written into an exported file, and the pieces that models share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from string import Template

from windtunnel.types.plans import TransferPlan

NONLINEARITY = {"relu": "functional.relu", "gelu": "functional.gelu", "tanh": "torch.tanh", "silu": "functional.silu"}
"""Activation -> source of the function."""


@dataclass(frozen=True)
class Twin:
    """A model of the library ``transformers`` that computes what a plan's model does."""

    plan: TransferPlan
    """The plan with the twin's names of tensors, and with the multipliers that the twin needs."""
    imports: str
    """Import statements."""
    source: str
    """Source of the model's constants and of ``build_model``, which leaves out the multipliers."""


class ModelSource(ABC):
    """The source of one family's model in plain torch, with the names of the family's tensors.

    Each family that can be exported is one subclass with one instance, ``MODEL``, in the module of ``hpo.exports.models``
    that is named like it.
    """

    name: str
    """Name of the model's class in the file."""
    normalises = False
    """Whether the model calls ``normalised(hidden, dimensions)``."""
    call = "build_model()"
    """Call by which a user of the file makes the model."""

    @abstractmethod
    def constants(self, plan: TransferPlan) -> list[str]:
        """Lines that set the constants of the model beside ``WIDTH``, ``DEPTH`` and ``CLASSES``."""

    @abstractmethod
    def source(self, plan: TransferPlan) -> str:
        """Source of the model's classes, with the plan's regularisers and multipliers in them."""

    def twin(self, plan: TransferPlan) -> Twin | None:  # noqa: ARG002
        """The model in the library ``transformers``; None, the default: it has none that can follow this plan."""
        return None

    def build(self, plan: TransferPlan, *, scaled: bool) -> str:  # noqa: ARG002
        """Source of ``build_model``.

        Args:
            plan: the plan.
            scaled: whether the file has multipliers to attach to the model.
        """
        return _BUILD.substitute(built=attached(f"{self.name}()") if scaled else f"{self.name}()")


def attached(built: str) -> str:
    """Source of an expression that attaches the multipliers to a model."""
    return f"attach_multipliers({built})"


def dropped(plan: TransferPlan, value: str) -> str:
    """Source of hidden values with the plan's dropout applied."""
    if plan.regularization.layer_dropout:
        return f"dropout({value}, self.training, index)"
    return value if plan.regularization.dropout is None else f"dropout({value}, self.training)"


def each(plan: TransferPlan, name: str, stack: str) -> str:
    """Source of the head of a loop over the model's layers or blocks, with an index if dropout differs between layers."""
    if plan.regularization.layer_dropout:
        return f"index, {name} in enumerate(self.{stack})"
    return f"{name} in self.{stack}"


def noisy(plan: TransferPlan, value: str) -> str:
    """Source of inputs with the plan's augmentation and noise applied."""
    terms = plan.regularization
    value = value if terms.augmentation is None else f"augmented({value}, self.training)"
    return value if terms.input_noise is None else f"input_noise({value}, self.training)"


_BUILD = Template('''def build_model():
    """The model, not yet initialised."""
    return $built''')
