"""Writes a transfer plan as a Python file for JAX: initial values, optax optimizer, schedule. No torch or JAX here."""

from string import Template

from hpo.exports.header import header
from hpo.exports.registry import Format
from hpo.exports.schedule_source import jax_schedule
from hpo.exports.tables import dictionary, drawn_std, paddings, penalties, torch_decay
from windtunnel.types.following import followed, label_of
from windtunnel.types.plans import TransferPlan

IN_YOUR_LOOP = "Your model and loss have to do this (what is named windtunnel.torch is for torch):"


def optax_file(plan: TransferPlan) -> str:
    """Source of the file.

    It defines ``initialise``, ``effective``, ``multiplier`` and ``optimizer``; also ``penalty`` if the plan has an L2
    penalty, and ``factor`` if its regularisers follow a schedule.
    """
    moves = bool(followed(plan))
    loss = "loss(effective(params), batch)" + (f" + penalty(params{', step' * moves})" if penalties(plan) else "")
    batches = "step, batch in enumerate(batches)" if moves else "batch in batches"
    usage = [
        "params = initialise(jax.random.key(SEED))  # a dict of arrays by tensor name, weights as [fan_out, fan_in, ...]",
        "update = optimizer()",
        "state = update.init(params)",
        f"for {batches}:  # STEPS batches of BATCH_SIZE examples",
        f"    gradients = jax.grad(lambda params: {loss})(params)",
        "    changes, state = update.update(gradients, state, params)",
        "    params = optax.apply_updates(params, changes)",
    ]
    kinds = _kinds(plan)
    settings = dict.fromkeys(kinds.values())
    names = {setting: f"group {number}" for number, setting in enumerate(settings)}
    return _FILE.substitute(
        header=header(plan, "Initial values and optimizer", "Needs jax and optax.", usage, IN_YOUR_LOOP),
        steps=plan.steps,
        batch_size=plan.batch_size,
        clip_norm=repr(plan.clip_norm),
        seed=plan.provenance.seed,
        tensors=dictionary(
            "TENSORS",
            {
                row.name: (tuple(row.shape), (drawn_std(row), row.init_value), row.multiplier, names[kinds[row.name]])
                for row in plan.trained
            },
        ),
        kept="found = " if paddings(plan) else "return ",
        padding=_PADDED if paddings(plan) else "",
        paddings=f"\n\n# Embedding -> row that starts at 0 and has no gradient\n{dictionary('PADDING', paddings(plan))}"
        if paddings(plan)
        else "",
        matrices="; eps None: Muon's" if plan.optimizer_info.matrices else "",
        groups=dictionary("GROUPS", {name: setting for setting, name in names.items()}),
        penalty=_factors(plan) + _penalty(plan) + plan.optimizer_info.optax_helpers,
        schedule=jax_schedule(plan),
        group=_group(plan),
        clip="optax.clip_by_global_norm(CLIP_NORM), " if plan.clip_norm is not None else "",
    )


class Optax(Format):
    """The export format ``optax``: a Python file for JAX and optax."""

    def write(self, plan: TransferPlan) -> str:
        return optax_file(plan)

    def why_not(self, plan: TransferPlan) -> str | None:  # noqa: ARG002 - it can express every plan
        return None


FORMAT = Optax()


def _kinds(plan: TransferPlan) -> dict[str, tuple[float, float, float | None]]:
    """Tensor -> (peak learning rate, decay, eps); tensors with equal values form one group."""
    return {row.name: (row.learning_rate, torch_decay(plan, row), row.eps) for row in plan.trained}


def _group(plan: TransferPlan) -> str:
    """Source of the body of ``group``: the update rule with the plan's kind of decay."""
    rates = "    def rates(step):\n        return learning_rate * multiplier(step)\n"
    decay, scale = "optax.add_decayed_weights(decay)", "optax.scale_by_learning_rate(rates)"
    rule = plan.optimizer_info.optax.format(**plan.optimizer_settings, **plan.options_in_force)
    # L2 passes through the rule like a gradient; the other kinds of decay are added to the rule's output.
    parts = [decay, rule, scale] if plan.decay == "l2" else [rule, decay, scale]
    chained = "".join(f"        {part},\n" for part in parts)
    return f"{rates}\n    return optax.chain(\n{chained}    )"


def _factors(plan: TransferPlan) -> str:
    """Source of ``factor``; empty if no regulariser follows a schedule."""
    lines = followed(plan)
    return _FACTORS.substitute(factors=dictionary("FACTORS", lines)) if lines else ""


def _penalty(plan: TransferPlan) -> str:
    """Source of ``penalty``; empty if the plan has no L2 penalty."""
    if not penalties(plan):
        return ""
    found = _PENALTY if not followed(plan) else _MOVING_PENALTY
    labels = {row.name: label_of(plan, row.name, row.role, row.group) for row in plan.trained if row.l2 > 0}
    moving = {name: label for name, label in labels.items() if label is not None}
    return found.safe_substitute(
        penalties=dictionary("PENALTIES", penalties(plan)), labels=dictionary("PENALTY_FACTORS", moving)
    )


_PADDED = """
    for name, row in PADDING.items():
        found[name] = found[name].at[row].set(0)
    return found"""

_FACTORS = Template('''

# Regulariser -> factors on its value over the run, evenly spaced
$factors


def factor(label, step):
    """Factor on a regulariser at a step, counted from 0, by straight lines between the entries of FACTORS."""
    line = jnp.asarray(FACTORS[label])
    return jnp.interp(step / STEPS, jnp.linspace(0, 1, len(line)), line)''')

_MOVING_PENALTY = Template('''

# Tensor -> lambda of lambda / 2 |w|^2 in the training loss, at the end of the run
$penalties

# Tensor -> regulariser whose factors multiply its penalty
$labels


def penalty(params, step):
    """The plan's L2 penalty at a step, a part of the training loss: its gradient is clipped with the rest."""
    return sum(
        value * (factor(PENALTY_FACTORS[name], step) if name in PENALTY_FACTORS else 1) / 2 * jnp.sum(params[name] ** 2)
        for name, value in PENALTIES.items()
    )''')

_PENALTY = Template('''

# Tensor -> lambda of lambda / 2 |w|^2 in the training loss
$penalties


def penalty(params):
    """The plan's L2 penalty, a part of the training loss: its gradient is clipped with the rest."""
    return sum(factor / 2 * jnp.sum(params[name] ** 2) for name, factor in PENALTIES.items())''')

_FILE = Template('''"""$header

Initial values have the plan's standard deviations; they are not the numbers that torch draws from the same seed.
optax clips without the 1e-6 that torch adds to the norm.
A Flax kernel is stored as [fan_in, fan_out]: transpose these weights for it, or its gradients for this optimizer.
"""

import math

import jax
import jax.numpy as jnp
import optax

STEPS, BATCH_SIZE = $steps, $batch_size
CLIP_NORM = $clip_norm
SEED = $seed

# Tensor -> (shape, (std, mean) of its initial values, forward multiplier, group)
$tensors$paddings

# Group of tensors -> (peak learning rate, weight decay, eps); a step shrinks by learning rate * weight decay$matrices
$groups


def initialise(key, dtype=jnp.float32):
    """Initial values by name: normal, or a constant where the standard deviation is 0."""
    keys = jax.random.split(key, len(TENSORS))
    $kept{
        name: mean + std * jax.random.normal(key, shape, dtype)
        for key, (name, (shape, (std, mean), _, _)) in zip(keys, TENSORS.items())
    }$padding


def effective(params):
    """Tensors of the forward pass: multiplier * tensor. Differentiate through this, so that gradients contain it."""
    return {name: value if TENSORS[name][2] == 1 else TENSORS[name][2] * value for name, value in params.items()}$penalty


$schedule


def group(learning_rate, decay, eps):
    """The update rule of one group."""

$group


def optimizer():
    """The optimizer of all tensors: their gradients are clipped together, then each group is updated by its own values."""
    labels = {name: label for name, (_, _, _, label) in TENSORS.items()}
    groups = {label: group(*values) for label, values in GROUPS.items()}
    return optax.chain(${clip}optax.multi_transform(groups, labels))
''')
