"""What every family of models offers to the engine and to the coordinate check."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection

from torch import Tensor, nn

from hpo.families.dials import NO_DIALS, NO_NOISE, Dials, Noise, check_dials

Record = Callable[[str, Tensor], None]
"""Told the name of a module and its output before the nonlinearity."""


class Proxy(ABC, nn.Module):
    """A model whose width and depth can be chosen; its weights are left to the parametrization to initialise.

    Forward passes are pure: no buffers, no batch statistics, no control flow on values. So they run under
    ``functional_call``, ``vmap``, double backward, and ``jvp`` of a gradient.
    """

    dials: tuple[str, ...]
    """Dials that the family has."""

    def forward(self, inputs: Tensor, dials: Dials = NO_DIALS, noise: Noise = NO_NOISE) -> Tensor:
        """Logits of a batch.

        Args:
            inputs: [batch, features], or tokens [batch, context].
            dials: those that are on.
            noise: tensors of ``noise_shapes(batch, dials)``.

        Returns:
            [batch, classes]; for a language model [batch, context, classes].

        Raises:
            ValueError: a dial that this family does not have.
        """
        check_dials(dials, self.dials)
        return self.compute(inputs, dials, noise, lambda *_: None)

    def activations(self, inputs: Tensor, dials: Dials = NO_DIALS) -> dict[str, Tensor]:
        """Output of every layer with a weight before its nonlinearity, by module name; ``readout`` gives the logits."""
        check_dials(dials, self.dials)
        found: dict[str, Tensor] = {}
        found["readout"] = self.compute(inputs, dials, NO_NOISE, found.__setitem__)
        return found

    @abstractmethod
    def compute(self, inputs: Tensor, dials: Dials, noise: Noise, record: Record) -> Tensor:
        """The forward pass; ``record`` is called with every layer's output but the readout's."""

    @abstractmethod
    def noise_shapes(self, batch: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Shape of each noise tensor that those dials need for a batch of so many examples."""
