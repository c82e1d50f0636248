"""The table of optimizers, one record each. ``hpo.optimizers`` has the update rule of each name."""

import json
from collections.abc import Iterable

from windtunnel.types.kinds import listed
from windtunnel.types.optimizers import muon
from windtunnel.types.optimizers.info import (
    BatchRule,
    GroupValue,
    OptimizerInfo,
    OptionName,
    SettingName,
    TorchForm,
    entry_sized,
    gradient_sized,
)

_ADAM_FORMULA = "m, v = averages of g, g^2 by beta1, beta2, unbiased; w -= lr m / (sqrt(v) + eps)"
_ADAM: dict[SettingName, float] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_ADAM_BATCH = BatchRule(
    0.5, "the averages of Adam keep their length in steps (the SDE's rule would shorten them with the batch)"
)
_ADAM_NO_L2 = "Adam divides {term} by the gradient's size, which falls with width and depth at another rate than w does"
_ADAM_GROUP: dict[str, GroupValue] = {
    "eps": "eps",
    "weight_decay": "weight_decay",
    "betas": ("beta1", "beta2"),
    "decoupled_weight_decay": "decoupled",
}
_ADAM_OPTAX = "optax.scale_by_adam(b1={beta1!r}, b2={beta2!r}, eps=eps)"
_ADAM_TRAINER: dict[SettingName, str] = {"beta1": "adam_beta1", "beta2": "adam_beta2", "eps": "adam_epsilon"}

OPTIMIZERS: dict[str, OptimizerInfo] = {
    info.name: info
    for info in (
        OptimizerInfo(
            name="sgd",
            title="SGD",
            label="SGD",
            formula="b = momentum b + g; w -= lr b",
            source="Polyak 1964",
            settings={"momentum": 0.9},
            decays=("l2", "decoupled", "independent"),
            state=2,
            normalises=False,
            rate=gradient_sized,
            batch=BatchRule(1.0, "momentum keeps its length in steps"),
            coordinate_rate=0.1,
            torch=TorchForm(
                "torch.optim.SGD",
                {"momentum": "momentum", "weight_decay": "weight_decay"},
                lacks=frozenset({"decoupled", "independent"}),
            ),
            optax="optax.trace({momentum!r})",
            why_no_completep="its table has no entry for sgd: it is derived for the updates of Adam and AdamW",
        ),
        OptimizerInfo(
            name="adam",
            title="Adam",
            label="Adam",
            formula=_ADAM_FORMULA,
            source="Kingma & Ba 2015, algorithm 1",
            settings=_ADAM,
            decays=("l2", "decoupled", "independent"),
            state=3,
            normalises=True,
            rate=entry_sized,
            batch=_ADAM_BATCH,
            coordinate_rate=0.01,
            torch=TorchForm("torch.optim.Adam", _ADAM_GROUP),
            optax=_ADAM_OPTAX,
            why_no_l2=_ADAM_NO_L2,
            sqrt_decay=True,
            huggingface=_ADAM_TRAINER,
        ),
        OptimizerInfo(
            name="adamw",
            title="Adam",
            label="AdamW",
            formula=_ADAM_FORMULA,
            source="Loshchilov & Hutter 2019, algorithm 2",
            settings=_ADAM,
            decays=("decoupled", "independent"),
            no_decay=("is a contradiction", "choose optimizer 'adam' for L2 in the gradient"),
            state=3,
            normalises=True,
            rate=entry_sized,
            batch=_ADAM_BATCH,
            coordinate_rate=0.01,
            torch=TorchForm("torch.optim.AdamW", _ADAM_GROUP),
            optax=_ADAM_OPTAX,
            why_no_l2=_ADAM_NO_L2,
            sqrt_decay=True,
            huggingface=_ADAM_TRAINER,
        ),
        OptimizerInfo(
            name="lion",
            title="Lion",
            label="Lion",
            formula="w -= lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g",
            source="Chen et al. 2023, algorithm 2",
            settings={"beta1": 0.9, "beta2": 0.99},
            decays=("decoupled", "independent"),
            no_decay=("is not what it does: a sign hides how much was added", "leave decay out"),
            state=2,
            normalises=True,
            rate=entry_sized,
            batch=BatchRule(
                0.5, "the average of Lion keeps its length in steps; its signs are taken to be as noisy as Adam's"
            ),
            coordinate_rate=0.01,
            torch=TorchForm(
                "windtunnel.torch.optimizers.lion.Lion", {"betas": ("beta1", "beta2"), "weight_decay": "weight_decay"}
            ),
            optax="optax.scale_by_lion(b1={beta1!r}, b2={beta2!r})",
            why_no_l2="Lion takes the sign of {term} plus the gradient, and the two fall with width and depth differently",
            why_no_completep="it is derived for the updates of Adam and AdamW",
            pathwise="its update is a sign, which has no slope: a derivative does not see what a value did to later signs",
        ),
        OptimizerInfo(
            name="muon",
            title="Muon",
            label="Muon",
            formula="hidden matrices: b = momentum b + (1 - momentum) g; w -= lr adjust(shape) NewtonSchulz(b), with "
            "nesterov of (1 - momentum) g + momentum b; all else: AdamW",
            source="Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982",
            settings={"momentum": 0.95, **_ADAM},
            options=muon.OPTIONS,
            decays=("decoupled", "independent"),
            no_decay=("is not what it does: it keeps the direction of a gradient and not its size", "leave decay out"),
            state=3,
            matrices=muon.MATRICES,
            matrix_state=2,
            normalises=True,
            rate=muon.learning_rate(muon.ADJUSTMENTS["match_rms_adamw"]),
            batch=BatchRule(
                0.5, "its averages keep their length in steps; its matrices are taken to be as noisy as Adam's updates"
            ),
            coordinate_rate=0.01,
            torch=TorchForm(
                "windtunnel.torch.optimizers.muon.Muon",
                {
                    "matrix": "matrix",
                    "momentum": "momentum",
                    "nesterov": "nesterov",
                    "ns_steps": "ns_steps",
                    "adjust_lr_fn": "adjust_lr_fn",
                    "betas": ("beta1", "beta2"),
                    "eps": "eps",
                    "weight_decay": "weight_decay",
                },
            ),
            optax=f"{muon.OPTAX} if eps is None else {_ADAM_OPTAX}",
            optax_helpers=muon.OPTAX_HELPERS,
            with_options=muon.with_options,
            why_no_l2="Muon keeps the direction of {term} plus the gradient, and the two fall with width and depth "
            "differently",
            huggingface={"beta1": "adam_beta1", "beta2": "adam_beta2"},
        ),
    )
}


def optimizer_info(name: str) -> OptimizerInfo:
    """The record of an optimizer.

    Raises:
        ValueError: the table has none of that name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimizer {name!r}; allowed: {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]


def having(setting: str) -> list[OptimizerInfo]:
    """The optimizers that have a setting."""
    return [info for info in OPTIMIZERS.values() if setting in info.settings]


def names(infos: Iterable[OptimizerInfo], last: str) -> str:
    """Names of optimizers as a list in a sentence."""
    return listed((info.name for info in infos), last)


def setting_words(setting: SettingName) -> str:
    """Sentence on a setting: the optimizers that have it, and its defaults: "Adam and AdamW only; 0.9 by default."."""
    owners = having(setting)
    by_default: dict[float, list[str]] = {}
    for info in owners:
        by_default.setdefault(info.settings[setting], []).append(info.label)
    only = listed((info.label for info in owners), "and")
    if len(by_default) == 1:
        return f"{only} only; {_number(*by_default)} by default."
    told = ", ".join(f"{_number(value)} for {listed(labels, 'and')}" for value, labels in by_default.items())
    return f"{only} only; by default {told}."


def option_words(option: OptionName) -> str:
    """Sentence on an option: the optimizers that have it, and its default: "Muon only; true by default."."""
    owners = [info for info in OPTIMIZERS.values() if option in info.options]
    told = {json.dumps(info.options[option]).strip('"'): info.label for info in owners}
    only = listed((info.label for info in owners), "and")
    if len(told) == 1:
        return f"{only} only; {next(iter(told))} by default."
    return f"{only} only; by default {', '.join(f'{value} for {label}' for value, label in told.items())}."


def decay_words() -> str:
    """Default kind of decay of each optimizer, in words: "decoupled for adamw, l2 for sgd and adam"."""
    by_kind: dict[str, list[OptimizerInfo]] = {}
    for info in OPTIMIZERS.values():
        by_kind.setdefault(info.decay, []).append(info)
    return ", ".join(f"{kind} for {names(by_kind[kind], 'and')}" for kind in sorted(by_kind))


def _number(value: float) -> str:
    return f"{value:g}".replace("e-0", "e-")
