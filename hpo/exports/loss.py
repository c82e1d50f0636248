"""Writes the training loss of an exported torch file, with label smoothing, mixture weights and L2. No torch here."""

from string import Template

from hpo.exports.tables import dictionary, penalties
from windtunnel.types.families import TaskKind
from windtunnel.types.following import followed, label_of
from windtunnel.types.plans import TransferPlan


def arguments(plan: TransferPlan) -> str:
    """Source of the arguments of ``training_loss`` after model, inputs and labels; empty without mixture weights."""
    return ", sources, shares" if plan.mixture_weights else ""


def loss_source(plan: TransferPlan, outputs: str = "model(inputs)") -> str:
    """Source of ``training_loss`` and of the tables that it uses.

    Args:
        plan: the plan.
        outputs: source of an expression of ``model`` and ``inputs`` for the model's outputs.
    """
    lines = [f"def training_loss(model, inputs, labels{arguments(plan)}):", *(_indented(_body(plan, outputs)))]
    return "\n\n\n".join([*_tables(plan), "\n".join(lines)])


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


def _kind(plan: TransferPlan) -> TaskKind:
    """Kind of the plan's task; a plan without it has the kind that the facts of its task give."""
    return plan.kind or plan.info.kind


def _tables(plan: TransferPlan) -> list[str]:
    """Source of each table or function on which ``training_loss`` depends."""
    found = []
    if moved := followed(plan):
        labels = {
            row.name: label
            for row in plan.trained
            if row.l2 > 0 and (label := label_of(plan, row.name, row.role, row.group)) is not None
        }
        found.append(_FACTORS.substitute(factors=dictionary("FACTORS", moved)))
        if labels:
            found.append(f"# Tensor -> regulariser whose factors multiply it\n{dictionary('PENALTY_FACTORS', labels)}")
    if penalised := penalties(plan):
        found.append(f"# Tensor -> lambda of lambda / 2 |w|^2 in the training loss\n{dictionary('PENALTIES', penalised)}")
    if plan.loss is not None:
        found.append(
            _OWN.substitute(
                name=plan.loss,
                shape="the loss of each example [batch]" if plan.mixture_weights else "its mean over the batch",
            )
        )
    if plan.mixture_weights:
        found.append(f"# Data source -> its weight in the training loss\n{dictionary('MIXTURE', plan.mixture_weights)}")
    return found


def _body(plan: TransferPlan, outputs: str) -> list[str]:
    """Lines of the body of ``training_loss``, not indented."""
    kind = _kind(plan)
    title = "Mean squared error of a batch" if kind == "regression" else "Cross-entropy of a batch in nats"
    if plan.loss is not None:
        title = "own_loss of a batch"
    if plan.mixture_weights:
        lines = [
            f'"""{title}, each example weighted by its source.',
            "",
            "``sources`` [batch] are indices into MIXTURE, ``shares`` [sources] the shares of the training data.",
            '"""',
            *_losses(plan, "losses", outputs),
            "weights = torch.tensor(list(MIXTURE.values()), device=losses.device)",
            "loss = (weights[sources] * losses).mean() / (weights * shares).sum()",
        ]
    else:
        lines = [f'"""{title}."""', *_losses(plan, "loss", outputs)]
    moves = any(label.partition(".")[0] == "l2" for label in followed(plan))
    if penalties(plan):
        lines += [
            "# torch.compile and DistributedDataParallel put their own words before a tensor's name.",
            "plain = {",
            '    name.replace("_orig_mod.", "").removeprefix("module."): parameter',
            "    for name, parameter in model.named_parameters()",
            "}",
            "for name, penalty in PENALTIES.items():",
            *(["    penalty = penalty * factor(PENALTY_FACTORS[name]) if name in PENALTY_FACTORS else penalty"] * moves),
            "    loss = loss + penalty / 2 * plain[name].square().sum()",
        ]
    return [*lines, "return loss"]


def _losses(plan: TransferPlan, name: str, outputs: str) -> list[str]:
    """Lines that compute ``loss``, the mean over the batch, or ``losses``, one for each example, by ``name``."""
    each = name == "losses"
    smoothing = plan.regularization.label_smoothing
    smoothed = f"{smoothing!r}" + ' * factor("label_smoothing")' * ("label_smoothing" in followed(plan))
    options = ', reduction="none"' * each + (f", label_smoothing={smoothed}" if smoothing is not None else "")
    labels = "labels"
    if _kind(plan) == "regression":
        # Labels [batch, 1] and outputs [batch] would silently broadcast to [batch, batch].
        outputs, labels = f"{outputs}.squeeze(-1)", "labels.reshape(len(inputs))"
    if plan.loss is not None:
        return [f"{name} = own_loss({outputs}, {labels})" + ("" if each else ".mean()")]
    match _kind(plan):
        case "regression":
            return [f"{name} = ({outputs} - {labels}).square()" + ("" if each else ".mean()")]
        case "classification":
            return [f"{name} = functional.cross_entropy({outputs}, labels{options})"]
        case "language":
            call = f"functional.cross_entropy({outputs}.flatten(0, 1), labels.flatten(){options})"
            return [f"{name} = {call}" + (".view(labels.shape).mean(1)" if each else "")]


_OWN = Template('''def own_loss(outputs, labels):
    """The loss that was tuned with: $shape."""
    raise NotImplementedError("put the loss here that the plan was tuned with: $name")''')

_FACTORS = Template('''# Regulariser -> factors on its value over the run, evenly spaced
$factors
UPDATE = [0]


def factor(label):
    """Factor on a regulariser at the present update; UPDATE counts the updates."""
    line = FACTORS[label]
    place = min(UPDATE[0] / STEPS, 1.0) * (len(line) - 1)
    low = min(int(place), len(line) - 2)
    return line[low] + (place - low) * (line[low + 1] - line[low])''')
