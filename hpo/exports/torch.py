"""Writes a transfer plan as a Python file that needs torch alone. Imports no torch itself.

The file gives the same numbers as ``windtunnel.torch`` with the same plan: the same seed gives the same initial weights,
and the same batches give the same losses.
"""

from string import Template

from hpo.exports.header import header
from hpo.exports.loss import arguments, loss_source
from hpo.exports.models.registry import model_of, why_no_model
from hpo.exports.models.source import model_source
from hpo.exports.own_optimizer import embedded, with_imports
from hpo.exports.registry import Format
from hpo.exports.tables import multipliers
from hpo.exports.torch_parts import optimizer_source, setup_source
from windtunnel.types.following import followed
from windtunnel.types.plans import TransferPlan

IN_YOUR_LOOP = "This file's model and training_loss do all of this; code of your own has to:"


def torch_file(plan: TransferPlan) -> str:
    """Source of the file.

    It defines ``build_model``, ``initialise``, ``parameter_groups``, ``optimizer``, ``multiplier``, ``scheduler``,
    ``training_loss`` and ``train_step``.
    """
    weighted = bool(plan.mixture_weights)
    usage = [
        f"model = {build_call(plan)}",
        "initialise(model, SEED)",
        "update = optimizer(model)",
        "schedule = scheduler(update)",
        f"for inputs, labels{', sources' if weighted else ''} in batches:  # STEPS batches of BATCH_SIZE examples",
        f"    loss = train_step(model, update, schedule, inputs, labels{', sources, shares' if weighted else ''})",
    ]
    return _FILE.substitute(
        header=header(plan, "Model and optimizer", "Needs torch only.", usage, IN_YOUR_LOOP),
        imports=torch_imports(plan),
        setup=setup_source(plan),
        model=model_source(plan),
        optimizer=optimizer_source(plan),
        loss=loss_source(plan, model_of(plan.model.family).outputs),
        weighted=arguments(plan),
        counted="    UPDATE[0] += 1\n" if followed(plan) else "",
    )


def build_call(plan: TransferPlan) -> str:
    """Source of the call by which a user of the file makes the model."""
    return model_of(plan.model.family).call


def torch_imports(plan: TransferPlan) -> str:
    """Import statements for the source of model, optimizer and loss."""
    partial = "from functools import partial\n" if multipliers(plan) else ""
    imports = f"import math\n{partial}\nimport torch\nfrom torch import nn\nfrom torch.nn import functional"
    return with_imports(imports, embedded(plan.optimizer_info.torch))


class Torch(Format):
    """The export format ``torch``: a Python file that needs torch alone."""

    def write(self, plan: TransferPlan) -> str:
        return torch_file(plan)

    def why_not(self, plan: TransferPlan) -> str | None:
        return why_no_model(plan.model.family)


FORMAT = Torch()


_FILE = Template('''"""$header
"""

$imports

$setup


$model


$optimizer


$loss


def train_step(model, update, schedule, inputs, labels$weighted):
    """One update on one batch; returns its training loss, before the update."""
    model.train()
    update.zero_grad()
    loss = training_loss(model, inputs, labels$weighted)
    loss.backward()
    if CLIP_NORM is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    update.step()
    schedule.step()
$counted    return loss.item()
''')
