"""Proxy: the module of a family, as the engine and the coordinate check use it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence

from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpo.families.dials import NO_DIALS, NO_NOISE, Dials, Noise, check_dials
from hpo.families.passes import Passes

Record = Callable[[str, Tensor], None]
"""Told the name of a module and its output before the nonlinearity."""


def places(module: nn.Module) -> dict[str, list[str]]:
    """Name of each parameter -> every place that holds it, one for each layer, whatever number of names the layer has.

    ``functional_call`` needs them all for tied tensors. Left to find them by itself, it takes a layer of two names for two
    layers, and leaves its call's tensors in the module.
    """
    first: dict[int, str] = {}
    found: dict[str, list[str]] = {}
    for path, layer in module.named_modules():
        for attribute, parameter in layer._parameters.items():
            if parameter is not None:
                name = f"{path}.{attribute}" if path else attribute
                found.setdefault(first.setdefault(id(parameter), name), []).append(name)
    return found


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

    def population(
        self, tensors: Sequence[Tensor], inputs: Tensor, *, shared: bool, dials: Dials = NO_DIALS, noise: Noise = NO_NOISE
    ) -> Tensor:
        """Logits of every member of a population, each with its own weights: ``forward`` for all of them at once.

        Args:
            tensors: weights in the order of ``named_parameters``, each [members, *shape].
            inputs: [members, batch, features] or tokens [members, batch, context]; without members where shared.
            shared: whether all members see the same inputs.
            dials: those that are on, each [members]; ``dropout`` [members, layers].
            noise: tensors of ``noise_shapes(batch, dials)`` with members in front.

        Returns:
            [members, batch, classes]; for a language model [members, batch, context, classes].
        """
        names = [name for name, _ in self.named_parameters()]

        def one(weights: Sequence[Tensor], settings: Dials, random: Noise, features: Tensor) -> Tensor:
            found: Tensor = functional_call(self, dict(zip(names, weights, strict=True)), (features, settings, random))
            return found

        if len(tensors[0]) == 1:
            # A population of one pays for batching and gains nothing.
            settings, random = ({name: table[0] for name, table in group.items()} for group in (dials, noise))
            return one([tensor[0] for tensor in tensors], settings, random, inputs if shared else inputs[0])[None]
        found: Tensor = vmap(one, in_dims=(0, 0, 0, None if shared else 0))(tensors, dict(dials), dict(noise), inputs)
        return found

    def passes(
        self,
        tensors: Sequence[Tensor],  # noqa: ARG002
        inputs: Tensor,  # noqa: ARG002
        dials: Dials = NO_DIALS,  # noqa: ARG002
        noise: Noise = NO_NOISE,  # noqa: ARG002
    ) -> Passes | None:
        """``population`` with derivatives by hand, where the family has them; arguments as there, inputs with members."""
        return None

    @abstractmethod
    def compute(self, inputs: Tensor, dials: Dials, noise: Noise, record: Record) -> Tensor:
        """The forward pass; ``record`` is called with every layer's output but the readout's."""

    @abstractmethod
    def noise_shapes(self, batch: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
        """Shape of each noise tensor that those dials need for a batch of so many examples."""
