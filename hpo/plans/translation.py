"""Carries values to another batch size, horizon and data set: factors, formulas and their assumptions. No torch.

Width rules do not cover these. With B the batch size, T the steps, D the examples of the training set, and a prime for the
target's:

* batch: lr' = lr sqrt(B'/B) under Adam (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient
  algorithms"), lr' = lr B'/B under SGD (Goyal et al. 2017), both below the critical batch size (McCandlish et al. 2018);
* horizon: lr' = lr (T'/T)^h with the exponent h that the job fitted, if it fitted one;
* decay: AdamW's weights are an average over updates; its time scale in epochs, tau = B / (lr lambda D), is kept (Wang &
  Aitchison 2024): lr' lambda' = lr lambda (B'/B) (D/D').
"""

from dataclasses import dataclass, field
from math import prod

from hpo.errors import Refused
from hpo.plans.findings import Findings
from windtunnel.types.plans import Assumption
from windtunnel.types.spec import Target


@dataclass(frozen=True)
class Translation:
    """Factors on every tensor's values for batch size, horizon and data, applied after the rules of the width."""

    learning_rate: float = 1.0
    weight_decay: float = 1.0
    """Factor on lambda, for every kind of decay."""
    formulas: dict[str, str] = field(default_factory=dict)
    """Quantity -> factor on its formula, as text."""
    assumptions: list[Assumption] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    """Sentences on changes that were not translated."""
    objection: Refused | None = None
    """Refusal of a translation that must not be made unless forced; None: nothing speaks against it."""


def translate(found: Findings, target: Target) -> Translation:
    """Factors from the proxy's batch size, steps and data to the target's; exactly 1 for each that stays."""
    spec = found.spec
    batch = (target.batch_size or spec.inner.batch_size) / spec.inner.batch_size
    parts = [_batch(found, batch), _horizon(found, target)]
    rate = prod(part.learning_rate for part in parts)
    parts.append(_decay(found, target, batch, rate))
    return Translation(
        learning_rate=rate,
        weight_decay=parts[-1].weight_decay,
        formulas={
            quantity: "".join(part.formulas.get(quantity, "") for part in parts)
            for quantity in ("learning_rate", "weight_decay")
        },
        assumptions=[entry for part in parts for entry in part.assumptions],
        uncovered=[sentence for part in parts for sentence in part.uncovered],
        objection=next((part.objection for part in parts if part.objection is not None), None),
    )


def _batch(found: Findings, ratio: float) -> Translation:
    """Translation to a batch size of ``ratio`` times the proxy's."""
    spec = found.spec
    size = spec.inner.batch_size
    if ratio == 1:
        known = Assumption(
            quantity="batch_size",
            value=size,
            formula="as in the proxy",
            assumption="the large run uses the same batch size",
        )
        return Translation(assumptions=[known])
    rule = spec.optimizer.info.batch
    if rule is None:
        return Translation(
            objection=Refused(
                f"no rule says how the learning rate of optimizer {spec.optimizer.name!r} goes with the batch size",
                f"plan with the proxy's batch size, {size}; force copies the rate",
            )
        )
    entry = Assumption(
        quantity="batch_size",
        value=round(size * ratio),
        formula=f"lr * {rule.formula}",
        assumption=f"both batch sizes are below the critical one ({_critical(found)}); {rule.kept}",
    )
    return Translation(
        learning_rate=rule.factor(ratio),
        formulas={"learning_rate": f" * {rule.formula}"},
        assumptions=[entry],
        objection=_past_critical(found, max(size, round(size * ratio))),
    )


def _critical(found: Findings) -> str:
    """The estimate of the critical batch size, in words."""
    scale = found.noise_scale
    if scale is None:
        return f"no noise scale was measured{' in this job' if found.tuned else ''}"
    if scale.examples is None:
        return f"gradient noise scale tr(Sigma)/|G|^2 of the proxy above {scale.low:.0f} examples"
    end = "" if scale.high is None else f", 95 % interval {scale.low:.0f} to {scale.high:.0f}"
    return f"gradient noise scale tr(Sigma)/|G|^2 of the proxy {scale.examples:.0f} examples{end}"


def _past_critical(found: Findings, largest: int) -> Refused | None:
    """Refusal of a batch size past the critical one, or without an estimate of it; None if it is below."""
    scale = found.noise_scale
    if scale is None:
        return Refused(
            f"{'this job measured no gradient noise scale' if found.tuned else 'no gradient noise scale was measured'}, so "
            "nothing shows up to which batch size the rate may follow",
            f"{'tune with transfer.noise_scale true, ' if found.tuned else ''}plan with the proxy's batch size, or ask "
            "with force",
        )
    bound = scale.low if scale.examples is None else scale.examples
    if largest <= bound:
        return None
    return Refused(
        f"batch size {largest} is past the critical batch size, about {bound:.0f} examples ({_critical(found)}): beyond "
        "it the best learning rate stops to grow with the batch, and no rule carries it",
        f"plan with a batch size up to {int(bound)}, or tune the proxy at the batch size of the large run; force applies "
        "the rule all the same",
    )


def _horizon(found: Findings, target: Target) -> Translation:
    """Translation to the target's number of steps."""
    spec, fit = found.spec, found.horizon
    steps = target.steps or spec.inner.steps
    ratio = steps / spec.inner.steps
    if ratio == 1:
        return Translation()
    if fit is None:
        return Translation(
            uncovered=[
                f"Horizon: values tuned over {spec.inner.steps} steps are used over {steps}; no exponent was fitted, and a "
                "longer run usually wants a lower learning rate (transfer.horizons fits one)."
            ]
        )
    lengths = f"horizons of {', '.join(str(length) for length in fit.horizons)} steps"
    if not fit.is_sure or fit.exponent is None:
        said = "no exponent" if fit.exponent is None else f"{fit.exponent:+.2f} ({fit.low:+.2f} to {fit.high:+.2f})"
        return Translation(
            uncovered=[
                f"Horizon: values tuned over {spec.inner.steps} steps are used over {steps}; the fit over {lengths} found "
                f"{said}, which does not exclude that the learning rate stays, and it was not applied."
            ]
        )
    return Translation(
        learning_rate=ratio**fit.exponent,
        formulas={"learning_rate": f" * (T'/T)^{fit.exponent:.2f}"},
        assumptions=[
            Assumption(
                quantity="horizon",
                value=fit.exponent,
                formula=f"lr * (T'/T)^h, h = {fit.exponent:+.2f} (95 % interval {fit.low:+.2f} to {fit.high:+.2f})",
                assumption=f"the power law fitted over {lengths} of the proxy holds up to {steps} steps",
            )
        ],
        uncovered=[]
        if steps <= 8 * spec.inner.steps
        else [
            f"Horizon: the exponent was fitted up to {spec.inner.steps} steps and is used for {ratio:.0f} times as many."
        ],
    )


def _decay(found: Findings, target: Target, batch: float, rate: float) -> Translation:
    """Translation of the weight decay, from the ratios of batch size and learning rate, target over proxy."""
    spec = found.spec
    own = spec.info.train_examples
    examples = target.examples or own
    data = examples / own
    held = batch / data
    if batch == 1 and rate == 1 and data == 1:
        return Translation()
    kind = spec.optimizer.decay_kind
    optimizer = spec.optimizer.info
    if not optimizer.carries(kind):
        lost = f"Decay: L2 inside {optimizer.title} has no rule for another batch size, horizon or data set"
        return Translation(uncovered=[f"{lost}; lambda is copied."])
    if kind == "independent":
        factor, text, formula = held, "", "tau = B / (lambda D): lambda' = lambda (B'/B) (D/D')"
    else:
        factor = held / rate
        text, formula = " * (lr/lr')", "tau = B / (lr lambda D): lambda' = lambda (lr/lr') (B'/B) (D/D')"
    given = "the same data set as the proxy's" if data == 1 else f"{examples} training examples for {own}"
    return Translation(
        weight_decay=factor,
        formulas={"weight_decay": text + (" * B'/B" if batch != 1 else "") + (" * D/D'" if data != 1 else "")},
        assumptions=[
            Assumption(
                quantity="decay_time_scale",
                value=factor,
                formula=formula,
                assumption=f"weights average over as many epochs as in the proxy; {given}",
            )
        ],
    )
