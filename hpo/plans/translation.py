"""Carries values to another batch size, horizon and data set: factors, formulas and their assumptions. No torch.

Width rules do not cover these. With B the batch size, T the steps, D the examples of the training set, and a prime for the
target's:

* batch: lr' = lr sqrt(B'/B) under Adam (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient
  algorithms"), lr' = lr B'/B under SGD (Goyal et al. 2017), both below the critical batch size (McCandlish et al. 2018);
* horizon, and the averages of Adam: ``hpo.plans.horizon``;
* decay: AdamW's weights are an average over updates; its time scale in epochs, tau = B / (lr lambda D), is kept (Wang &
  Aitchison 2024): lr' lambda' = lr lambda (B'/B) (D/D'). Where the proxy saw less than one epoch and nothing is said of the
  target's data, D'/D is the ratio of the examples seen, B'T' / (B T): then lr' lambda' = lr lambda T/T'.
"""

from collections.abc import Mapping
from math import prod

from hpo.errors import Refused
from hpo.plans.findings import Findings
from hpo.plans.horizon import averages_translation, horizon_translation
from hpo.plans.translating import Translation
from windtunnel.types.plans import Assumption
from windtunnel.types.spec import Target


def translate(found: Findings, target: Target, betas: Mapping[str, float]) -> Translation:
    """Factors from the proxy's batch size, steps and data to the target's; exactly 1 for each that stays.

    Args:
        found: values and evidence.
        target: the large run.
        betas: name -> value in the proxy, of the optimizer's averages.
    """
    spec = found.spec
    batch = (target.batch_size or spec.inner.batch_size) / spec.inner.batch_size
    parts = [_batch(found, batch), horizon_translation(found, target)]
    rate = prod(part.learning_rate for part in parts)
    parts += [_decay(found, target, batch, rate), averages_translation(found, target, betas)]
    return Translation(
        learning_rate=rate,
        weight_decay=prod(part.weight_decay for part in parts),
        eps=prod(part.eps for part in parts),
        betas=parts[-1].betas,
        formulas={
            quantity: "".join(part.formulas.get(quantity, "") for part in parts)
            for quantity in ("learning_rate", "weight_decay", "eps")
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


def _decay(found: Findings, target: Target, batch: float, rate: float) -> Translation:
    """Translation of the weight decay, from the ratios of batch size and learning rate, target over proxy."""
    spec = found.spec
    own = spec.info.train_examples
    seen = batch * (target.steps or spec.inner.steps) / spec.inner.steps
    once = target.examples is None and spec.inner.steps * spec.inner.batch_size <= own
    # A proxy that saw less than an epoch saw each example once: a longer run of the same kind has as much more data.
    data = seen if once else (target.examples or own) / own
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
    given = "the same data set as the proxy's" if data == 1 else f"{target.examples} training examples for {own}"
    if once and data != 1:
        given = f"the proxy saw less than one epoch, so {data:.4g} times the examples seen are as many times the data"
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
