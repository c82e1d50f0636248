"""States the assumptions behind each value of a transfer plan, and the questions that theory leaves open. No torch."""

from collections.abc import Mapping, Sequence

from hpo.mup.resolve import attention_multiplier, global_value, layer_values, mixture_weights, regularization, with_ends
from hpo.plans.findings import Findings
from hpo.plans.premises import (
    CLIPPING,
    WIDTHS,
    beyond_the_table,
    decay_formula,
    deeper,
    depth_premise,
    penalty_formula,
)
from windtunnel.types.hyperparameters import HyperparameterName
from windtunnel.types.ladders import MOST_DRIFT
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizers import BOUNDS
from windtunnel.types.plans import Assumption
from windtunnel.types.schedules import GPT3Schedule, ShapeName
from windtunnel.types.spec import JobSpec


def assumptions(spec: JobSpec, values: Mapping[str, float], target: ModelSpec, steps: int) -> list[Assumption]:
    """The assumptions of a plan: one for each value carried over outside of the role table, and those of the table itself.

    Args:
        spec: the job.
        values: tuned hyperparameters by label.
        target: the large model.
        steps: optimizer steps of the large model.
    """
    found = [
        Assumption(
            quantity="width",
            value=target.width / spec.model.width,
            formula="m = m_in = target fan-in / proxy fan-in, m_out likewise for fan-out",
            assumption=WIDTHS[spec.parametrization],
        ),
        _horizon(spec, steps),
        Assumption(
            quantity="weight_decay",
            value=None,
            formula=decay_formula(spec),
            assumption="biases are not decayed; what share of a weight a step keeps does not depend on the number of steps",
        ),
    ]
    if _penalises(spec, values):
        found.append(
            Assumption(
                quantity="l2",
                value=None,
                formula=penalty_formula(spec),
                assumption="biases are not penalised; the penalty's gradient is clipped together with the loss's",
            )
        )
    found += [_shape(spec, values, name) for name in spec.schedule.shape]
    carried = CARRIED | {"clip_norm": CLIPPING[spec.parametrization]}
    found += [entry for name, text in carried.items() if (entry := _carried(spec, values, name, text)) is not None]
    if layer_values(spec, values, "dropout"):
        found.append(
            Assumption(quantity="dropout", value=None, formula="layers as in the proxy", assumption=CARRIED["dropout"])
        )
    if mixture_weights(spec, values):
        found.append(
            Assumption(
                quantity="mixture_weight",
                value=None,
                formula="every source as in the proxy",
                assumption="what a source is worth does not depend on the size of the model that learns from it",
            )
        )
    if target.depth > spec.model.depth:
        found.append(depth_premise(spec, target.depth))
    return found


CARRIED: dict[HyperparameterName, str] = {
    "momentum": "the time scale of averages, in steps, does not depend on the width",
    "beta1": "the time scale of averages, in steps, does not depend on the width",
    "beta2": "the time scale of averages, in steps, does not depend on the width",
    "output_multiplier": "alpha of the readout is a property of the task, not of the width",
    "embedding_multiplier": "what enters the first layer keeps its size at every width",
    "attention_multiplier": "d_head is the same at every width, and with it the size of the attention logits",
    "dropout": "copied: the rate that a wider model wants is its own",
    "label_smoothing": "copied: how sure a model should be is a property of the labels",
    "input_noise": "copied: how much the inputs may be blurred is a property of the data",
    "augmentation": "copied, in pixels: how far an image may move and stay what it is is a property of the data",
}
"""Hyperparameter without a rule -> the assumption behind copying its value."""

OPTIONAL: frozenset[HyperparameterName] = frozenset({"embedding_multiplier", "attention_multiplier"})
"""Multipliers that a plan mentions only if they are not 1."""

SHAPES: dict[ShapeName, tuple[str, str]] = {
    "warmup_fraction": ("as in the proxy", "the warmup is a share of the run"),
    "floor": ("as in the proxy", "the lowest learning rate is a share of the peak, the same for every tensor"),
    "decay_gamma": ("as in the proxy", "the learning rate falls by as much over the run, however long the run is"),
    "cycle_length": ("as in the proxy", "a cycle is a share of the run: a longer run has as many cycles"),
    "decay_fraction": ("as in the proxy", "the decay at the end is a share of the run"),
    "knot": (
        "all knots as in the proxy",
        "the form of the schedule over the share of the run does not depend on its length",
    ),
}
"""Shape parameter of the schedule -> (formula, assumption behind copying its value)."""


def _carried(spec: JobSpec, values: Mapping[str, float], name: HyperparameterName, text: str) -> Assumption | None:
    """The assumption behind copying a hyperparameter; None if the job does not use it, or if an optional one is 1."""
    if name in BOUNDS and name not in spec.optimizer.info.settings:
        return None
    value = attention_multiplier(spec, values) if name == "attention_multiplier" else global_value(spec, values, name)
    if value is None or (name in OPTIONAL and value == 1):
        return None
    return Assumption(quantity=name, value=value, formula="as in the proxy", assumption=text)


def _horizon(spec: JobSpec, steps: int) -> Assumption:
    """The assumption behind using the schedule over the target's number of steps."""
    proxy = spec.inner.steps
    counted = isinstance(spec.schedule, GPT3Schedule) and spec.schedule.decay_tokens is not None
    if steps == proxy:
        text = f"the proxy ran for as many steps ({proxy})"
    else:
        moved = (
            f"the schedule counts tokens and is not stretched from {proxy} to {steps} steps"
            if counted
            else f"the schedule is stretched from {proxy} to {steps} steps"
        )
        text = moved
    formula = "schedule(step * batch_size * context)" if counted else "schedule(step / steps)"
    return Assumption(quantity="steps", value=steps, formula=formula, assumption=text)


def _shape(spec: JobSpec, values: Mapping[str, float], name: ShapeName) -> Assumption:
    """The assumption behind copying a shape parameter of the schedule."""
    formula, text = SHAPES[name]
    # Knots are several values; they are in the plan's schedule.
    return Assumption(
        quantity=name,
        value=None if name == "knot" else global_value(spec, values, name),
        formula=formula,
        assumption=text,
    )


def _penalises(spec: JobSpec, values: Mapping[str, float]) -> bool:
    """Whether the training loss has an L2 penalty."""
    penalties = [value for label, value in with_ends(spec, values).items() if label.partition(".")[0] == "l2"]
    return any(value > 0 for value in penalties) or spec.regularization.l2 > 0


def in_your_loop(spec: JobSpec, values: Mapping[str, float], target: ModelSpec) -> list[str]:
    """Sentences on the parts of the plan that no optimizer can do, in the forward pass and the loss, with their values.

    An exported torch file does all of this; a user's own model and training loop have to do it themselves.
    """
    terms, found = regularization(spec, values, target), []
    attention = attention_multiplier(spec, values)
    if attention is not None:
        divisor = spec.model.logits_over
        why = "divided by d_head, not by its root" if divisor == "d_head" else "q and k are normalised, head by head"
        found.append(
            f"Attention logits are {attention:.6g} * q.k / {divisor} with d_head {spec.model.head} at every width: {why}."
        )
    if terms.dropout is not None:
        rate = terms.dropout
        found.append(
            f"Dropout: while training, multiply by 1 + {(rate / (1 - rate)) ** 0.5:.6g} * standard normal noise, which is "
            f"dropout at rate {rate:.6g} in mean and variance (windtunnel.torch.GaussianDropout), "
            f"{spec.model.info.dropout_place}."
        )
    if terms.layer_dropout:
        rates = ", ".join(f"{rate:.6g} in {layer}" for layer, rate in terms.layer_dropout.items())
        found.append(
            "Dropout by layer: while training, multiply by 1 + sqrt(p / (1 - p)) * standard normal noise, which is dropout "
            "at rate p in mean and variance (windtunnel.torch.GaussianDropout), "
            f"{spec.model.info.dropout_place}, with p {rates}."
        )
    if terms.input_noise is not None:
        found.append(
            f"Input noise: while training, add Gaussian noise of deviation {terms.input_noise:.6g} to "
            f"{spec.model.info.noise_place} "
            "(windtunnel.torch.GaussianNoise)."
        )
    if terms.augmentation is not None:
        found.append(
            f"Augmentation: while training, shift every image by {terms.augmentation:.6g} pixels times standard normal "
            "noise, along both sides, with cosine interpolation, before any other noise (windtunnel.torch.RandomShift)."
        )
    if terms.label_smoothing is not None:
        found.append(f"Label smoothing {terms.label_smoothing:.6g} in the training loss (windtunnel.torch.criterion).")
    if mixture_weights(spec, values):
        found.append(
            "The training loss weights each example by its source, normalised so that the weights average to 1 over the "
            "training data (windtunnel.torch.criterion)."
        )
    if _penalises(spec, values):
        found.append(
            "L2: lambda / 2 |w|^2 of each tensor is part of the training loss, before clipping "
            "(windtunnel.torch.optimizer adds its gradient)."
        )
    return found


def _unsettled(findings: Findings) -> list[str]:
    """Sentences on drifts of the optimum over width that the ladder did not settle, or one if there was no ladder."""
    if findings.ladder is None:
        how = " (transfer.ladder)" if findings.tuned else ""
        return [
            f"Drift: no ladder of widths was climbed{how}; the tables promise a still optimum, and nothing here shows it."
        ]
    return [
        f"Drift: {each.sentence}; whether it stays within {MOST_DRIFT:g} either way is not settled."
        for each in (findings.ladder.learning_rate, findings.ladder.weight_decay)
        if each is not None and each.verdict == "inconclusive"
    ]


def not_covered(findings: Findings, target: ModelSpec, objections: Sequence[str]) -> list[str]:
    """Sentences on everything that neither theory nor the job has shown; those most relevant to this transfer first.

    Args:
        findings: values and evidence.
        target: the large model.
        objections: reasons for which the plan would have been refused without force; [] if there are none.
    """
    spec, check, values = findings.spec, findings.coordinate_check, findings.values
    found = [f"Forced: {objection}." for objection in objections]
    if check is not None and check.verdict == "inconclusive" and target.width != spec.model.width:
        found.append(
            f"The coordinate check is inconclusive over widths {check.widths}: some slopes lie between the limits. Compare "
            "two widths with these values before the large run."
        )
    if target.width != spec.model.width:
        found += _unsettled(findings)
    found += beyond_the_table(spec, target, clips=global_value(spec, values, "clip_norm") is not None)
    if target.depth > spec.model.depth:
        found.append(deeper(spec, target.depth))
    found.append("Data: another kind of data than the proxy's, and more passes over it.")
    terms = regularization(spec, values, target)
    on = {name: getattr(terms, name) for name in ("label_smoothing", "input_noise", "augmentation")}
    tuned = ["dropout"] * terms.drops + [name for name, value in on.items() if value is not None]
    if tuned and target.width != spec.model.width:
        found.append(
            f"{' and '.join(name.replace('_', ' ') for name in tuned).capitalize()}: no rule of width is known for "
            f"{'it' if len(tuned) == 1 else 'them'}; a wider model often wants more."
        )
    if mixture_weights(spec, values):
        found.append("Mixture: a larger model learns rare sources with less weight; theory has no rule.")
    found.append("Regularisation: the best weight decay also depends on how far the larger model can overfit.")
    return found
