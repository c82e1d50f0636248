"""Compares the derivatives that the engine takes of a module with its own in plain torch, and with differences."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from hpo.errors import InvalidData
from hpo.families.own.user_module import UserModule
from hpo.families.own.watching import Watch, watched

TOLERANCE = 1e-8
"""Largest difference of float64 numbers, relative to their size, where only rounding may differ."""
STEPS = (1e-6, 1e-7)
"""Steps of the central differences, tried in turn: a kink within the first is seldom one within the second."""
LOOSE = 1e-4
"""Largest difference of a derivative from central differences, relative to its size."""
LEAST = 1e-3
"""Least size of a parameter's derivative, relative to the largest, that differences are asked to resolve."""

T = TypeVar("T")


class Trial:
    """A population in float64, each member with weights and inputs of its own, and one number that all derivatives are of.

    That number is, for each member, a random combination of its outputs plus half their squares.

    Args:
        module: the module, in float64.
        tensors: weights, each [members, *shape].
        inputs: [members, batch, *input_shape].
        outputs: outputs of the members alone, [members, batch, ...].
    """

    def __init__(self, module: UserModule, tensors: Sequence[Tensor], inputs: Tensor, outputs: Tensor) -> None:
        self.module, self.inputs, self.task = module, inputs, module.task.name
        self.names = [name for name, _ in module.named_parameters()]
        self.tensors = [tensor.detach() for tensor in tensors]
        self.generator = torch.Generator().manual_seed(1)
        self.weights = self._random(outputs)
        self.directions = [self._random(tensor) for tensor in self.tensors]

    def _random(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=torch.float64)

    def read(self, outputs: Tensor) -> Tensor:
        """The number of each member, [members], from outputs [members, ...]."""
        return (self.weights * outputs + outputs.square() / 2).flatten(1).sum(1)

    def total(self, tensors: Sequence[Tensor]) -> Tensor:
        """Sum over the members, as the engine computes it."""
        return self.read(self.module.population(tensors, self.inputs, shared=False)).sum()

    def own_gradient(self) -> list[Tensor]:
        """Gradient of each member by one backward pass of the module itself, each [members, *shape]."""
        parameters = list(self.module.parameters())
        rows: list[list[Tensor]] = []
        for row in range(len(self.inputs)):
            place(self.module, self.tensors, row)
            for parameter in parameters:
                parameter.grad = None
            found = self.module(self.inputs[row])
            (self.weights[row] * found + found.square() / 2).sum().backward()
            rows.append([torch.zeros_like(each) if each.grad is None else each.grad.to_dense() for each in parameters])
        for parameter in parameters:
            parameter.grad = None
        return [torch.stack(parts) for parts in zip(*rows, strict=True)]

    def check(self) -> None:
        """Compare gradients, forward-mode products and second derivatives.

        Raises:
            InvalidData: one cannot be taken, or is not what it should be; the message names the parameter.
        """
        gradient, product = self._reverse()
        own = self._attempt(
            self.own_gradient,
            "has no gradient",
            "nothing in forward may be detached, and no part of it run by torch.utils.checkpoint",
        )
        self._equal(
            gradient,
            own,
            "the gradient of {name} in a population, with inputs for each member, is not that of the module alone",
            "take away hooks that change gradients, and what torch.func.vmap computes wrongly; write plain torch",
        )
        self._compare_with_differences(own)
        self._forward(gradient, product)

    def _reverse(self) -> tuple[list[Tensor], list[Tensor]]:
        """(gradient, its derivative along the directions by double backward); of zeros where it is linear."""
        leaves = [tensor.clone().requires_grad_() for tensor in self.tensors]

        def gradient() -> tuple[Tensor, ...]:
            return torch.autograd.grad(self.total(leaves), leaves, create_graph=True, allow_unused=True)

        slopes = self._attempt(
            gradient,
            "has no gradient",
            "nothing in forward may be detached, and no part of it run by torch.utils.checkpoint",
        )
        unused = [name for name, slope in zip(self.names, slopes, strict=True) if slope is None]
        if unused:
            raise InvalidData(
                f"parameter {unused[0]!r} of task {self.task!r} has no part in the logits",
                "leave it out of the module, or use it in forward",
            )
        cut = [name for name, slope in zip(self.names, slopes, strict=True) if not slope.requires_grad]
        if cut:
            raise InvalidData(
                f"the module of task {self.task!r} cannot be differentiated twice: the gradient of {cut[0]!r} is cut off",
                "replace an autograd.Function of your own by plain torch, or let its backward be differentiated",
            )

        def product() -> tuple[Tensor, ...]:
            total = torch.stack([(slope * along).sum() for slope, along in zip(slopes, self.directions, strict=True)]).sum()
            return torch.autograd.grad(total, leaves, allow_unused=True)

        twice = self._attempt(
            product,
            "cannot be differentiated twice",
            "use operations of torch whose backward has a derivative; fused kernels have none",
        )
        return [slope.detach() for slope in slopes], [
            torch.zeros_like(leaf) if part is None else part for leaf, part in zip(leaves, twice, strict=True)
        ]

    def _forward(self, gradient: list[Tensor], product: list[Tensor]) -> None:
        """Forward-mode products of the number and of its gradient, as estimators and coordinate check take them."""
        tensors, directions = tuple(self.tensors), tuple(self.directions)

        def along() -> Tensor:
            def one(direction: tuple[Tensor, ...]) -> Any:
                return jvp(lambda *at: self.total(at), tensors, direction)[1]

            return vmap(one)(tuple(each[None] for each in directions))[0]  # type: ignore[no-any-return]

        def along_gradient() -> tuple[Tensor, ...]:
            def gradients(*at: Tensor) -> tuple[Tensor, ...]:
                return grad(self.total)(at)  # type: ignore[no-any-return]

            def one(direction: tuple[Tensor, ...]) -> Any:
                return jvp(gradients, tensors, direction)[1]

            return tuple(each[0] for each in vmap(one)(tuple(each[None] for each in directions)))

        advice = "use operations of torch that have a forward-mode derivative (torch.func.jvp); fused kernels have none"
        found = self._attempt(along, "has no forward-mode derivative", advice)
        terms = [slope * direction for slope, direction in zip(gradient, directions, strict=True)]
        expected = torch.stack([term.sum() for term in terms]).sum()
        size = torch.stack([term.abs().sum() for term in terms]).sum()
        if float((found - expected).abs()) > TOLERANCE * float(size):
            raise InvalidData(
                f"the module of task {self.task!r} has a forward-mode derivative of {float(found):.6g} where its gradient "
                f"gives {float(expected):.6g}: one of both is not its derivative",
                "an autograd.Function of your own needs a jvp that fits its backward; write it in plain torch",
            )
        second = self._attempt(along_gradient, "has no forward-mode derivative of its gradient", advice)
        self._equal(
            list(second),
            product,
            "the derivative of the gradient of {name} is not the same in forward and in reverse mode",
            "an autograd.Function of your own needs a jvp that fits its backward; write it in plain torch",
        )

    def _compare_with_differences(self, own: list[Tensor]) -> None:
        """Compare the gradient with central differences of the outputs, along a random direction of all parameters.

        Each parameter's direction is scaled so that all have the same share; only where the sum is wrong is each compared.
        """
        slopes = [self._slope(part, along) for part, along in zip(own, self.directions, strict=True)]
        sizes = [float(slope.abs().max()) for slope in slopes]
        largest = max(sizes)
        scales = [1 / max(size, LEAST * largest) if largest else 1.0 for size in sizes]
        scaled = [along * scale for along, scale in zip(self.directions, scales, strict=True)]
        expected = torch.stack([slope * scale for slope, scale in zip(slopes, scales, strict=True)]).sum(0)
        if self._fits(scaled, expected, float(len(sizes))):
            return
        for index, name in enumerate(self.names):
            alone = [along if place == index else torch.zeros_like(along) for place, along in enumerate(self.directions)]
            if not self._fits(alone, slopes[index], max(sizes[index], LEAST * largest)):
                found = float(self._difference(alone, STEPS[0])[0])
                raise InvalidData(
                    f"the gradient of parameter {name!r} of task {self.task!r} is not the derivative of the outputs: "
                    f"along a random direction {float(slopes[index][0]):.6g}, by central differences {found:.6g}",
                    "nothing in forward may be detached, rounded, converted to a shorter type or given an own gradient; "
                    "hooks may not change gradients",
                )

    @staticmethod
    def _slope(gradient: Tensor, direction: Tensor) -> Tensor:
        return (gradient * direction).reshape(len(gradient), -1).sum(1)

    def _fits(self, directions: Sequence[Tensor], expected: Tensor, size: float) -> bool:
        """True if with one of the steps the central differences of every member are as expected, to ``LOOSE`` of a size.

        Numbers that are not finite say nothing about a derivative.
        """
        errors = [float((self._difference(directions, step) - expected).abs().max()) for step in STEPS]
        return any(not isfinite(error) or error <= LOOSE * size for error in errors)

    @torch.no_grad()
    def _difference(self, directions: Sequence[Tensor], step: float) -> Tensor:
        """Central difference of each member's number along a direction of its parameters, [members]."""
        found = []
        for sign in (step, -step):
            moved = [tensor + sign * along for tensor, along in zip(self.tensors, directions, strict=True)]
            found.append(self.read(self.module.population(moved, self.inputs, shared=False)))
        return (found[0] - found[1]) / (2 * step)

    def _attempt(self, take: Callable[[], T], fault: str, advice: str) -> T:
        """A derivative, or a refusal with the layer and the reason."""
        watch = Watch()
        try:
            with watched(self.module) as watch:
                return take()
        except InvalidData:
            raise
        except Exception as error:
            raise InvalidData(f"the module of task {self.task!r} {fault}{watch.place}: {error}", advice) from error

    def _equal(self, given: list[Tensor], wanted: list[Tensor], fault: str, advice: str) -> None:
        whole = max(float(part.abs().max()) for part in wanted if part.numel())
        for name, left, right in zip(self.names, given, wanted, strict=True):
            if not torch.allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE * whole):
                difference = float((left - right).abs().max())
                raise InvalidData(
                    f"task {self.task!r}: {fault.format(name=repr(name))}: they differ by {difference:.3g}", advice
                )


@torch.no_grad()
def place(module: UserModule, tensors: Sequence[Tensor], row: int) -> None:
    """Put one member's weights, of tensors [members, *shape], into the module itself."""
    for parameter, tensor in zip(module.parameters(), tensors, strict=True):
        parameter.copy_(tensor[row])
