"""A transfer plan as a Python file that needs torch and nothing of ours. Imports no torch itself.

The file does what ``windtunnel.torch`` does with the same plan, number for number: the same seed gives the same initial
weights, and the same batches give the same losses.
"""

import inspect
import re
import textwrap
from pprint import pformat
from string import Template

from hpo.mup.script_loss import arguments, loss_source
from hpo.mup.script_models import model_source
from windtunnel import schedules
from windtunnel.types.plans import TransferPlan
from windtunnel.types.schedules import GPT3Schedule


def torch_script(plan: TransferPlan) -> str:
    """Source of the file.

    It defines ``build_model``, ``initialise``, ``parameter_groups``, ``optimizer``, ``multiplier``, ``scheduler`` and
    ``train_step``.
    """
    is_sgd = plan.optimizer == "sgd"
    shrinks = is_sgd and plan.decay != "l2"
    return _FILE.substitute(
        header=_header(plan),
        model=model_source(plan),
        steps=plan.steps,
        batch_size=plan.batch_size,
        clip_norm=repr(plan.clip_norm),
        seed=plan.provenance.seed,
        tensors=_tensors(plan),
        loss=loss_source(plan),
        weighted=arguments(plan),
        groups=_sgd_groups(plan) if is_sgd else _adam_groups(plan),
        optimizer={"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}[plan.optimizer],
        parts=_parts(plan),
        schedule=_schedule(plan),
        shrink=_SHRINK if shrinks else "",
    )


_ARTICLES = {"mlp": "An MLP", "resnet": "A resnet", "transformer": "A transformer"}


def _header(plan: TransferPlan) -> str:
    check = "no coordinate check" if plan.coordinate_check is None else f"coordinate check: {plan.coordinate_check.verdict}"
    forced = ", plan forced" if plan.forced else ""
    weighted = bool(plan.mixture_weights)
    lines = [
        f"Model and optimizer of transfer plan {plan.id}, tuned on {plan.task!r}.",
        "",
        f"{_ARTICLES[plan.model.family]} of width {plan.width} and depth {plan.depth}, parametrization "
        f"{plan.parametrization!r}. Its values were",
        f"tuned at width {plan.model.width} and depth {plan.model.depth} ({check}{forced}).",
        "Needs torch only.",
        "",
        "    model = build_model()",
        "    initialise(model, SEED)",
        "    update = optimizer(model)",
        "    schedule = scheduler(update)",
        f"    for inputs, labels{', sources' if weighted else ''} in batches:  # STEPS batches of BATCH_SIZE examples",
        f"        loss = train_step(model, update, schedule, inputs, labels{', sources, shares' if weighted else ''})",
    ]
    if plan.in_your_loop:
        lines += ["", "This file's model and training_loss do all of this; code of your own has to:"]
        lines += [textwrap.fill(f"* {sentence}", 110, subsequent_indent="  ") for sentence in plan.in_your_loop]
    if plan.not_covered:
        lines += ["", "What the theory behind these values does not cover:"]
        lines += [textwrap.fill(f"* {sentence}", 110, subsequent_indent="  ") for sentence in plan.not_covered]
    # The text becomes a docstring: nothing in it may end the string or escape out of it.
    return "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")


def _tensors(plan: TransferPlan) -> str:
    """One line a tensor: init std, peak learning rate, decay as torch takes it, eps."""
    lines = []
    for row in plan.tensors:
        # torch shrinks by lr * weight_decay; independent decay shrinks by weight_decay times the schedule alone.
        decay = row.weight_decay / row.learning_rate if plan.decay == "independent" else row.weight_decay
        std = row.init_std if row.init == "normal" else 0.0
        lines.append(f"    {row.name!r}: {pformat((std, row.learning_rate, decay, row.eps), width=1000)},")
    return "\n".join(lines)


def _adam_groups(plan: TransferPlan) -> str:
    return f"""            "eps": eps,
            "weight_decay": decay,
            "betas": ({plan.beta1!r}, {plan.beta2!r}),
            "decoupled_weight_decay": {plan.decay != "l2"!r},"""


def _sgd_groups(plan: TransferPlan) -> str:
    momentum = f'            "momentum": {plan.momentum or 0.0!r},'
    if plan.decay == "l2":
        return f'{momentum}\n            "weight_decay": decay,'
    return f'{momentum}\n            "weight_decay": 0.0,\n            "shrinkage": decay,  # see train_step'


_SHRINK = """
    # Decoupled decay, which SGD does not have: it acts on the weights, not through the momentum.
    with torch.no_grad():
        for group in update.param_groups:
            for parameter in group["params"]:
                parameter.mul_(1 - group["lr"] * group["shrinkage"])"""


def _parts(plan: TransferPlan) -> str:
    """Source of the schedule's function and of what it uses."""
    rule = schedules.RULES[plan.schedule.name]
    source = _source(rule)
    used = [part for part in schedules.PARTS if part is not rule and f"{part.__name__}(" in source]
    return "\n\n\n".join([*(_source(part) for part in used), source])


def _source(function: schedules.Rule) -> str:
    # What is said to a linter means nothing in another file.
    return re.sub(r"  # noqa.*", "", inspect.getsource(function)).rstrip()


def _schedule(plan: TransferPlan) -> str:
    """Body of ``multiplier``: a call with the plan's own values."""
    given = schedules.arguments(plan.schedule, plan.steps, plan.tokens_per_step)
    time = "step + 1" if isinstance(plan.schedule, GPT3Schedule) else "min(step + 1, STEPS)"
    values = [time, "STEPS", *(f"{name}={value!r}" for name, value in given.items())]
    call = f"    return {schedules.RULES[plan.schedule.name].__name__}"
    return f"{call}(\n" + "".join(f"        {value},\n" for value in values) + "    )"


_FILE = Template('''"""$header
"""

import math

import torch
from torch import nn
from torch.nn import functional

STEPS, BATCH_SIZE = $steps, $batch_size
CLIP_NORM = $clip_norm
SEED = $seed

# Tensor -> (std of its normal initial values, peak learning rate, weight decay, eps)
TENSORS = {
$tensors
}


$model


def initialise(model, seed=SEED):
    """Draw the initial weights: one CPU generator, tensors in the order of TENSORS, in float32; zeros are not drawn."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, (std, _, _, _) in TENSORS.items():
            shape = parameters[name].shape
            values = torch.randn(shape, generator=generator) * std if std > 0 else torch.zeros(shape)
            parameters[name].copy_(values)


def parameter_groups(model):
    """One optimizer group for each tensor."""
    parameters = dict(model.named_parameters())
    return [
        {
            "params": [parameters[name]],
            "lr": learning_rate,
$groups
        }
        for name, (_, learning_rate, decay, eps) in TENSORS.items()
    ]


def optimizer(model):
    """The optimizer over these groups. Clip by CLIP_NORM before its steps, as train_step does."""
    return torch.optim.$optimizer(parameter_groups(model))


$parts


def multiplier(step):
    """Learning-rate multiplier of a step, counted from 0."""
$schedule


def scheduler(update):
    """Multiplies every group's own peak learning rate; call its step() after each optimizer step."""
    return torch.optim.lr_scheduler.LambdaLR(update, multiplier)


$loss


def train_step(model, update, schedule, inputs, labels$weighted):
    """One update on one batch; returns its training loss, before the update."""
    model.train()
    update.zero_grad()
    loss = training_loss(model, inputs, labels$weighted)
    loss.backward()
    if CLIP_NORM is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)$shrink
    update.step()
    schedule.step()
    return loss.item()
''')
