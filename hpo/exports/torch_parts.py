"""Writes the parts of files for torch: tensors, initial values, groups, optimizer and schedule. No torch here."""

from string import Template

from hpo.exports.own_optimizer import call, embedded
from hpo.exports.schedule_source import float_schedule
from hpo.exports.tables import constants, dictionary, drawn_std, paddings, torch_decay
from windtunnel.types.optimizers.info import GroupValue
from windtunnel.types.plans import TransferPlan


def setup_source(plan: TransferPlan) -> str:
    """Source of the sizes of the run, of TENSORS, and of CONSTANTS if a tensor starts at a constant other than 0."""
    tensors = {row.name: (drawn_std(row), row.learning_rate, torch_decay(plan, row), row.eps) for row in plan.trained}
    return _SETUP.substitute(
        steps=plan.steps,
        batch_size=plan.batch_size,
        clip_norm=repr(plan.clip_norm),
        seed=plan.provenance.seed,
        matrices="; eps None: it moves as a matrix" if plan.optimizer_info.matrices else "",
        tensors="\n".join([dictionary("TENSORS", tensors), *_constants(plan), *_padding(plan)]),
    )


def _constants(plan: TransferPlan) -> list[str]:
    """Lines of CONSTANTS; [] if no tensor starts at a constant other than 0."""
    found = constants(plan)
    return (
        ["", "# Tensor -> initial value of all its entries, if it is not 0", dictionary("CONSTANTS", found)]
        if found
        else []
    )


def _padding(plan: TransferPlan) -> list[str]:
    """Lines of PADDING; [] if no table has a padding row."""
    found = paddings(plan)
    return ["", "# Embedding -> row that starts at 0, its padding_idx", dictionary("PADDING", found)] if found else []


def initialise_source(plan: TransferPlan) -> str:
    """Source of ``initialise``, which fills the tensors of a model by name."""
    return _INITIALISE.substitute(
        rest="torch.full(shape, CONSTANTS.get(name, 0.0))" if constants(plan) else "torch.zeros(shape)",
        padding="            if name in PADDING:\n                values[PADDING[name]] = 0\n" if paddings(plan) else "",
    )


def optimizer_source(plan: TransferPlan) -> str:
    """Source of ``initialise``, ``parameter_groups``, ``optimizer``, ``multiplier`` and ``scheduler``."""
    form = plan.optimizer_info.torch
    shrinks = plan.decay in form.lacks
    own = embedded(form).definitions
    build = f"{call(form)}(parameter_groups(model))"
    return "\n\n\n".join(
        [
            initialise_source(plan),
            _GROUPS.substitute(groups=_groups(plan)),
            *([own] if own else []),
            *([_SHRINK.substitute(name=plan.optimizer_info.label)] if shrinks else []),
            (_SHRINKING if shrinks else _OPTIMIZER).substitute(build=build),
            float_schedule(plan),
            _SCHEDULER,
        ]
    )


def _groups(plan: TransferPlan) -> str:
    """Source of the entries of a parameter group after its tensor and its learning rate."""
    form = plan.optimizer_info.torch
    values = {**plan.optimizer_settings, **plan.options_in_force}
    shrinks = plan.decay in form.lacks

    def source(value: GroupValue) -> str:
        if isinstance(value, tuple):
            return f"({', '.join(map(source, value))})"
        match value:
            case "weight_decay":
                return "0.0" if shrinks else "decay"
            case "decoupled":
                return repr(plan.decay != "l2")
            case "matrix":
                return "eps is None"
            case _:
                # A value that differs between tensors is a column of TENSORS.
                return repr(values[value]) if value in values else value

    lines = [f'            "{key}": {source(value)},' for key, value in form.group.items()]
    return "\n".join([*lines, *(['            "shrinkage": decay,  # see shrink'] if shrinks else [])])


_SETUP = Template("""STEPS, BATCH_SIZE = $steps, $batch_size
CLIP_NORM = $clip_norm
SEED = $seed

# Tensor -> (std of its normal initial values, peak learning rate, weight decay, eps)$matrices
$tensors""")

_INITIALISE = Template('''def initialise(model, seed=SEED):
    """Draw the initial weights: one CPU generator, tensors in the order of TENSORS, in float32; constants are not drawn."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, (std, _, _, _) in TENSORS.items():
            shape = parameters[name].shape
            values = torch.randn(shape, generator=generator) * std if std > 0 else $rest
$padding            parameters[name].copy_(values)''')

_GROUPS = Template('''def parameter_groups(model):
    """One optimizer group for each tensor."""
    parameters = dict(model.named_parameters())
    return [
        {
            "params": [parameters[name]],
            "lr": learning_rate,
$groups
        }
        for name, (_, learning_rate, decay, eps) in TENSORS.items()
    ]''')

_OPTIMIZER = Template('''def optimizer(model):
    """The optimizer of the groups of parameter_groups. Clip gradients by CLIP_NORM before each step."""
    return $build''')

_SHRINK = Template('''@torch.no_grad()
def shrink(update, args, kwargs):
    """Decoupled decay, which $name does not have: it acts on the weights, not through the momentum."""
    for group in update.param_groups:
        for parameter in group["params"]:
            parameter.mul_(1 - group["lr"] * group["shrinkage"])''')

_SHRINKING = Template('''def optimizer(model):
    """The optimizer of the groups; each step shrinks the weights first. Clip gradients by CLIP_NORM before each step."""
    update = $build
    update.register_step_pre_hook(shrink)
    return update''')

_SCHEDULER = '''def scheduler(update):
    """Multiplies every group's own peak learning rate; call its step() after each optimizer step."""
    return torch.optim.lr_scheduler.LambdaLR(update, multiplier)'''
