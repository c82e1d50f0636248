"""Carries values to another length of the run: the learning rate by an exponent, Adam's averages and eps by the steps.

No torch here. With B the batch size and T the steps, a prime for the target's, kB = B'/B, and kD = (B' T') / (B T) the
ratio of the examples that a run sees:

* fitted: lr' = lr (T'/T)^h with the exponent h that the job fitted, if it fitted one;
* named: lr' = lr kD^h. With the batch's own sqrt(kB), h = -1/2 is Complete(d)P's sqrt(r), r = kB / kD (Mlodozeniec et al.
  2025, arXiv:2512.22382); h = -.32 is HyperP's (Ren et al. 2026, arXiv:2603.28743), h = -.3 that of Marin's recipe;
* averages: 1 - beta' = r (1 - beta) for both of Adam's, eps' = eps / sqrt(r). As r = T / T', they are averages over the
  same share of the run (Malladi et al. 2022 for the batch, Complete(d)P for the length, too).

Each is a power of ratios, so carrying there and back changes nothing.
"""

from collections.abc import Mapping
from math import sqrt

from hpo.errors import Refused
from hpo.plans.findings import Findings
from hpo.plans.translating import Translation
from windtunnel.types.plans import Assumption
from windtunnel.types.spec import Target
from windtunnel.types.transfer import HORIZON_RULES

FAR = 8
"""Factor on the length of the run beyond which a fitted exponent is said to be used far away."""


def horizon_translation(found: Findings, target: Target) -> Translation:
    """Translation of the learning rate to the target's length, by the rule in force."""
    name = target.horizon_rule or found.spec.transfer.horizon_rule
    rule = HORIZON_RULES[name]
    return _fitted(found, target) if rule.exponent is None else _named(found, target, rule.exponent, rule.source)


def _named(found: Findings, target: Target, exponent: float, source: str) -> Translation:
    """Translation by a published exponent over the examples that a run sees."""
    inner = found.spec.inner
    steps, batch = target.steps or inner.steps, target.batch_size or inner.batch_size
    seen = batch * steps / (inner.batch_size * inner.steps)
    if seen == 1:
        return Translation()
    return Translation(
        learning_rate=seen**exponent,
        formulas={"learning_rate": f" * kD^{exponent:g}"},
        assumptions=[
            Assumption(
                quantity="horizon",
                value=exponent,
                formula=f"lr * kD^h, h = {exponent:g}, kD = B'T' / (B T) = {seen:.4g}",
                assumption=f"the exponent of {source} holds for this model and data",
            )
        ],
    )


def _fitted(found: Findings, target: Target) -> Translation:
    """Translation by the exponent that the job fitted, if it is sure of one."""
    spec, fit = found.spec, found.horizon
    steps = target.steps or spec.inner.steps
    ratio = steps / spec.inner.steps
    if ratio == 1:
        return Translation()
    if fit is None:
        how = "transfer.horizons fits one, and " if found.tuned else ""
        return Translation(
            uncovered=[
                f"Horizon: values {'tuned' if found.tuned else 'found'} over {spec.inner.steps} steps are used over "
                f"{steps}; no exponent was fitted, and a longer run usually wants a lower learning rate ({how}horizon_rule "
                "names a published one)."
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
        if steps <= FAR * spec.inner.steps
        else [
            f"Horizon: the exponent was fitted up to {spec.inner.steps} steps and is used for {ratio:.0f} times as many."
        ],
    )


def averages_translation(found: Findings, target: Target, betas: Mapping[str, float]) -> Translation:
    """Translation of Adam's betas and eps to the target's number of steps, if the rule in force asks for it.

    Args:
        found: values and evidence.
        target: the large run.
        betas: name -> value in the proxy, of the averages that the optimizer has.
    """
    rule = target.averages_rule or found.spec.transfer.averages_rule
    steps = found.spec.inner.steps
    ratio = steps / (target.steps or steps)
    if rule == "copy" or ratio == 1:
        return Translation()
    carried = {name: 1 - ratio * (1 - value) for name, value in betas.items()}
    lost = {name: value for name, value in carried.items() if value < 0}
    objection = None
    if lost:
        named = ", ".join(f"1 - {name} = {ratio * (1 - betas[name]):.4g}" for name in lost)
        objection = Refused(
            f"averages_rule {rule!r}: with {1 / ratio:.4g} times the steps r = T/T' is {ratio:.4g} and {named}; allowed: "
            "at most 1",
            "plan more steps, or use averages_rule 'copy'; force copies these averages",
        )
        carried = {name: betas[name] if name in lost else value for name, value in carried.items()}
    said = ", ".join(f"{name} {betas[name]:.6g} -> {value:.6g}" for name, value in carried.items())
    return Translation(
        betas=carried,
        eps=1 / sqrt(ratio),
        formulas={"eps": " / sqrt(r)"},
        assumptions=[
            Assumption(
                quantity="averages",
                value=ratio,
                formula=f"1 - beta' = r (1 - beta), eps' = eps / sqrt(r), r = T/T' = {ratio:.4g}: {said}",
                assumption="averages go over the same share of the run, as the equation that the run approximates has it",
            )
        ],
        objection=objection,
    )
