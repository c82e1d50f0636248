"""Tries a loss of one's own before a job is spent on it: a mean of what it is for each example, with all derivatives."""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from hpo.errors import InvalidData
from hpo.families.own.loss_advice import FINITE, MUST, when_called, when_differentiated
from hpo.families.own.loss_examples import Chosen, choose
from hpo.families.own.user_module import build_module, known
from hpo.tasks import Split
from hpo.tasks.losses import mean_loss
from windtunnel.tasks.user import Loss
from windtunnel.torch._own_loss import called, of_each
from windtunnel.types import JobSpec, ModelSpec, TaskInfo

SIZES = (0.1, 1.0, 10.0)
"""Sizes of the random outputs, beside those of the module."""
MEMBERS = 2
TOLERANCE = 1e-8
"""Largest relative difference of float64 losses, where only rounding may differ."""
SINGLE = 1e-5
"""Largest relative difference where rounding to float32 may differ, too."""
RATIO = 1e-5
"""Largest relative difference of an example's weight as read off different outputs."""
ODD = 1e3
"""Size of the module's outputs above which a loss that is not finite is no fault of the loss."""
FEW = 8
"""Examples on which derivatives are tried."""


def check_loss(spec: JobSpec, parts: Sequence[Split]) -> None:
    """Check that a loss of one's own is a mean over examples, finite on the data, and that its derivatives can be taken.

    A mean may be weighted by the labels, as by class weights. Outputs are those of the module at random weights, and random
    ones of several sizes.

    Args:
        spec: the job; without a loss of its own nothing is checked.
        parts: parts of the data; the examples are chosen so that every label is among them.

    Raises:
        InvalidData: the loss fails, is not finite for some example, has no second derivative, is no mean of what it is for
            each example, or has weights while the job weights sources. The message says which, and what would do.
    """
    info = spec.info
    if info.loss is None:
        return
    own = known(info).criterion()
    assert own is not None, "the listing of the task names its loss"
    chosen = choose(info, parts)
    labels = chosen.labels.double() if info.kind == "regression" else chosen.labels
    named = f"loss {info.loss} of task {info.name!r}"
    _refuse_trained(own, named)
    trial = _Trial(partial(called, own), named, info, chosen, labels)
    by_module = _outputs(spec.model, info, chosen)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Such as of the variance of one example: what it gives is judged.
        warnings.simplefilter("ignore")
        trial.call(by_module)
        trial.call_in_single(by_module)
        trial.finite(by_module)
        trial.refuse_raw_scores(by_module)
        mixing, micro = spec.searches("mixture_weight"), spec.inner.micro_batches > 1
        trial.mean([by_module, *_random(by_module)], mixing=mixing, micro=micro)
        trial.differentiate(by_module)


def _refuse_trained(own: Loss, named: str) -> None:
    """Raise InvalidData where the loss holds a parameter: no job trains it, nor carries it to another width."""
    held = [name for name, value in own.named_parameters() if value.requires_grad] if isinstance(own, nn.Module) else []
    if held:
        raise InvalidData(
            f"{named} has a parameter to train, {held[0]!r}; a loss is a function of outputs and labels alone",
            "move it into the module and give what it makes as outputs; or fix it with requires_grad_(False)",
        )


def _outputs(model: ModelSpec, info: TaskInfo, chosen: Chosen) -> Tensor:
    """Outputs of the module at random weights, float64, shaped as the loss gets them."""
    module = build_module(model, info).double()
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64) * max(value[0].numel(), 1) ** -0.5
        if value.dim()
        else torch.ones((), dtype=torch.float64)
        for name, value in module.named_parameters()
    }
    inputs = chosen.inputs.double() if chosen.inputs.is_floating_point() else chosen.inputs
    with torch.no_grad():
        outputs: Tensor = functional_call(module, weights, (inputs,))
    return outputs.squeeze(-1) if info.kind == "regression" else outputs


def _random(like: Tensor) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(2)
    for size in SIZES:
        yield size * torch.randn(like.shape, generator=generator, dtype=torch.float64)


class _Trial:
    """A loss with the examples that it is tried on."""

    def __init__(self, own: Loss, named: str, info: TaskInfo, chosen: Chosen, labels: Tensor) -> None:
        self.own, self.named, self.info, self.chosen, self.labels = own, named, info, chosen, labels

    def call(self, outputs: Tensor) -> None:
        """Raise InvalidData where the loss fails on a batch, gives another shape, or changes from call to call."""
        labels, count = self.labels, len(self.labels)
        shapes = self._shapes(outputs, labels)
        whole: object = self._tried(outputs, labels)
        if not isinstance(whole, Tensor) or tuple(whole.shape) not in ((), (count,)):
            found = f"shape {list(whole.shape)}" if isinstance(whole, Tensor) else f"{_words(whole)}, no tensor,"
            over = "; average over the context, too" if self.info.kind == "language" else ""
            raise InvalidData(
                f"{self.named} gives {found} for {shapes}",
                f"give one tensor: the mean over the batch, [], or the loss of each example, [{count}]{over}. No .item(), "
                "no numpy: it must have a gradient",
            )
        if whole.requires_grad:
            raise InvalidData(
                f"{self.named} holds a tensor that requires a gradient: a loss is a function of outputs and labels alone",
                "move what is to be trained into the module and give what it makes as outputs; or detach it",
            )
        if whole.dtype != outputs.dtype:
            raise InvalidData(
                f"{self.named} gives {whole.dtype} for {shapes}: it casts to fewer digits, and its derivatives "
                "cannot be proven",
                "let it compute in the precision of its outputs",
            )
        if not torch.equal(whole.nan_to_num(), self.own(outputs, labels).nan_to_num()):
            raise InvalidData(
                f"{self.named} gives another value when it is called again: it draws random numbers or keeps state",
                "it must be a function of outputs and labels alone",
            )

    def call_in_single(self, outputs: Tensor) -> None:
        """Raise InvalidData where the loss fails in float32, in which jobs train."""
        labels = self.labels.float() if self.info.kind == "regression" else self.labels
        single = self._tried(outputs.float(), labels)
        if single.dtype != torch.float32:
            raise InvalidData(
                f"{self.named} gives {single.dtype} for {self._shapes(outputs.float(), labels)}",
                "let it compute in the precision of its outputs: bring its constants to outputs.dtype",
            )

    def _tried(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Value of the loss, if it is one. Raises InvalidData where it fails."""
        try:
            found: Tensor = self.own(outputs, labels)
        except Exception as error:
            raise InvalidData(
                f"{self.named} failed on {self._shapes(outputs, labels)}: {type(error).__name__}: {error}",
                when_called(error, self.info.kind),
            ) from error
        return found

    def _shapes(self, outputs: Tensor, labels: Tensor) -> str:
        return f"outputs {list(outputs.shape)} of {outputs.dtype} and labels {list(labels.shape)} of {labels.dtype}"

    def differentiate(self, outputs: Tensor) -> None:
        """Raise InvalidData where a derivative of the loss of each example cannot be taken."""
        few = outputs[:FEW].expand(MEMBERS, *outputs[:FEW].shape)
        members = few[..., None] if self.info.kind == "regression" else few
        together = self.labels[:FEW].expand(MEMBERS, *self.labels[:FEW].shape)

        def total(at: Tensor) -> Tensor:
            return mean_loss(self.info, at, together).sum()

        if not self.own(outputs.clone().requires_grad_(), self.labels).requires_grad:
            raise InvalidData(
                f"{self.named} has no gradient",
                "its value must depend on the outputs: nothing in it may be detached, rounded or counted (argmax, ==)",
            )
        try:
            leaf = members.clone().requires_grad_()
            (slope,) = torch.autograd.grad(total(leaf), leaf, create_graph=True)
            if slope.requires_grad:  # a loss that is linear has no second derivative, and needs none
                torch.autograd.grad(slope.sum(), leaf, allow_unused=True)
            jvp(grad(total), (members.contiguous(),), (torch.ones_like(members),))
        except Exception as error:
            raise self._unfit(error) from error

    def _unfit(self, error: Exception) -> InvalidData:
        """The refusal of a loss that fails under the transforms of torch.func."""
        said = next(iter(str(error).splitlines()), "")
        return InvalidData(
            f"{self.named} cannot be differentiated twice, or not for each example: {type(error).__name__}: {said}",
            when_differentiated(error),
        )

    def refuse_raw_scores(self, outputs: Tensor) -> None:
        """Raise InvalidData where the loss takes log-probabilities, as NLLLoss does, and the outputs are none: it has no
        least value then."""
        if self.info.kind != "classification" or outputs.logsumexp(-1).abs().max() < SINGLE:
            return
        shares = []
        for tried in _random(outputs):
            picked = -tried.gather(1, self.labels[:, None])[:, 0]
            shares.append(self._each(tried, self.labels) / picked)
        if all(torch.allclose(share, shares[0], rtol=TOLERANCE, atol=0.0) for share in shares) and shares[0].min() > 0:
            total = float(outputs[0].exp().sum())
            raise InvalidData(
                f"{self.named} is the negative output at the label, as of log-probabilities, and those of the module are "
                f"none: the exponentials of its outputs sum to {total:.4g}, not to 1, and no loss is the least",
                "give nn.CrossEntropyLoss(), which takes logits; or let the module end in log_softmax",
            )

    def _each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of each example alone, [n]."""
        try:
            return of_each(self.own, outputs, labels)
        except Exception as error:
            raise self._unfit(error) from error

    def finite(self, outputs: Tensor) -> None:
        """Raise InvalidData where the loss of an example alone is not finite at the module's own outputs."""
        if not outputs.isfinite().all() or outputs.abs().max() > ODD:
            return
        each, whole = self._each(outputs, self.labels), self.own(outputs, self.labels).mean()
        lost = (~each.isfinite()).nonzero().flatten().tolist()
        if lost:
            others = f"; so are those of {len(lost) - 1} more of {len(each)} that were tried" if len(lost) > 1 else ""
            raise InvalidData(
                f"{self.named} is {float(each[lost[0]]):g} for {self.chosen.words(lost[0])} alone, and {float(whole):.6g} "
                f"for a batch with it{others}",
                FINITE,
            )
        if not whole.isfinite():
            raise InvalidData(
                f"{self.named} is {float(whole):g} for a batch of {len(each)} examples, each of which has a "
                "finite loss alone",
                MUST,
            )

    def mean(self, tried: Sequence[Tensor], *, mixing: bool, micro: bool = False) -> None:
        """Raise InvalidData where the loss of a batch is no mean, plain or weighted, over its examples, each alone.

        Args:
            tried: outputs for the examples, several times.
            mixing: whether the job weights the loss of each example by its source.
            micro: whether the job goes through a batch in parts, and takes the mean over their losses.
        """
        spread, rows = self.chosen.spread, list(range(len(self.labels)))
        batches = (rows, rows[:spread], rows[:1] * 3 + rows[spread:], rows[:2], [0, spread - 1])
        plain = torch.ones(len(rows), dtype=torch.float64)
        if all(self._is_mean(outputs, batch, plain) for outputs in tried for batch in batches):
            return
        if all(self._is_mean(outputs, batch, plain, SINGLE) for outputs in tried for batch in batches):
            raise InvalidData(
                f"{self.named} is a mean over examples to {SINGLE:g} only: it casts to float32, or fewer digits, inside",
                "let it compute in the precision of its outputs: no .float(), and constants brought to outputs.dtype",
            )
        weights = self._weights(tried[0].shape[1:])
        if weights is None or not all(self._is_mean(outputs, batch, weights) for outputs in tried for batch in batches):
            raise self._no_mean(tried, batches, plain)
        if mixing or micro:
            needing = "mixture_weight" if mixing else "inner.micro_batch_size"
            heavy = max(rows, key=lambda row: max(float(weights[row]), 1 / float(weights[row])))
            raise InvalidData(
                f"{self.named} is a weighted mean, in which {self.chosen.words(heavy)} counts {float(weights[heavy]):.6g} "
                f"times as much as {self.chosen.words(0)}: {needing} needs the "
                "loss of one example alone, which has no such weight",
                "give the loss of each example, [batch], with its weight: F.cross_entropy(outputs, labels, weight=W, "
                'reduction="none"), for example; or leave '
                f"{needing} out{' of search' if mixing else ''}",
            )

    def _losses(self, outputs: Tensor, rows: Sequence[int]) -> tuple[Tensor, Tensor] | None:
        """(loss of a batch, [] or [rows]; loss of each example alone, [rows]); None where one is not finite."""
        at, labels = outputs[list(rows)], self.labels[list(rows)]
        whole, each = self.own(at, labels), self._each(at, labels)
        return (whole, each) if each.isfinite().all() and whole.isfinite().all() else None

    def _is_mean(self, outputs: Tensor, rows: Sequence[int], weights: Tensor, tolerance: float = TOLERANCE) -> bool:
        """Whether the loss of a batch is the mean by weights over its examples; losses that are not finite tell nothing."""
        if (found := self._losses(outputs, rows)) is None:
            return True
        whole, each = found
        weight = weights[list(rows)]
        expected = each if whole.dim() else (weight * each).sum() / weight.sum()
        return float((whole - expected).abs().max()) <= tolerance * (1 + float(each.abs().max()))

    def _no_mean(self, tried: Sequence[Tensor], batches: Sequence[Sequence[int]], plain: Tensor) -> InvalidData:
        """The refusal, with the numbers of the first batch on which it shows."""
        for outputs in tried:
            for rows in batches:
                if self._is_mean(outputs, rows, plain) or (found := self._losses(outputs, rows)) is None:
                    continue
                whole, each = found
                if whole.dim():
                    apart = float((whole - each).abs().max())
                    return InvalidData(
                        f"{self.named} gives other losses for examples in a batch of {len(rows)} than for each of them "
                        f"alone: they are up to {apart:.3g} apart",
                        MUST,
                    )
                is_sum = torch.isclose(whole, each.sum(), rtol=1e-6, atol=0.0)
                return InvalidData(
                    f"{self.named} is {float(whole):.6g} for {len(rows)} examples, and {float(each.mean()):.6g} in the "
                    f"mean over each of them alone{': it is their sum' if is_sum else ''}",
                    MUST,
                )
        raise AssertionError("the loss of some batch is no mean")

    def _weights(self, shape: torch.Size) -> Tensor | None:
        """Weight of each example over that of the first, [n], where the loss is a mean by weights of labels; else None.

        The loss of two examples is (l + r m) / (1 + r), whatever their outputs: r is read off three random ones.
        """
        generator = torch.Generator().manual_seed(3)
        others = torch.arange(len(self.labels))
        labels = torch.stack([self.labels[:1].expand_as(self.labels), self.labels], dim=1)
        found = []
        for outputs in torch.randn(3, 2, *shape, generator=generator, dtype=torch.float64):
            pairs = outputs.expand(len(others), *outputs.shape)
            whole = vmap(self.own)(pairs, labels)
            if whole.dim() > 1:
                return None
            one, other = (self._each(pairs[:, side], labels[:, side]) for side in (0, 1))
            found.append((one - whole) / (whole - other))
        ratios = torch.stack(found)
        if not ratios.isfinite().all() or not (ratios > 0).all():
            return None
        middle = ratios.median(dim=0).values
        return middle if ((ratios - middle).abs() <= RATIO * middle).all() else None


def _words(found: object) -> str:
    """Type of what a loss gave, for a message."""
    return f"a tuple of {len(found)}" if isinstance(found, tuple) else type(found).__name__
