"""Writes a transfer plan as a Python file for Hugging Face's Trainer: TrainingArguments, and the parts of the torch file.

A Trainer has one learning rate, one decay and one eps; a plan has them for each tensor. So the file gives the Trainer an
optimizer with a group for each tensor and a schedule that multiplies each group's own peak. Imports no torch itself.
"""

from string import Template
from typing import Any

from hpo.exports.header import header
from hpo.exports.loss import loss_source
from hpo.exports.models.model import Twin, attached
from hpo.exports.models.registry import model_of, why_no_model
from hpo.exports.models.source import model_source, multipliers_source
from hpo.exports.registry import Format
from hpo.exports.tables import dictionary, torch_decay
from hpo.exports.torch import IN_YOUR_LOOP, build_call, torch_imports
from hpo.exports.torch_parts import optimizer_source, setup_source
from windtunnel.types.following import followed
from windtunnel.types.plans import TensorRow, TransferPlan
from windtunnel.types.schedules import ConstantSchedule, CosineSchedule


def huggingface_file(plan: TransferPlan) -> str:
    """Source of the file.

    It defines everything in the torch file except ``train_step``, and ``training_arguments``, ``PlanTrainer``, ``trainer``.
    The model is one of the library's own where the family has one that can follow the plan.
    """
    twin = model_of(plan.model.family).twin(plan)
    plan = plan if twin is None else twin.plan
    weighted = bool(plan.mixture_weights)
    columns = ["inputs", "labels", *(["sources"] if weighted else [])]
    examples = ", ".join(f'"{name}": ...' for name in columns)
    usage = [
        f"model = {build_call(plan) if twin is None else 'build_model()'}",
        "initialise(model, SEED)",
        f'training = trainer(model, "runs", train_dataset=dataset{", shares=shares" if weighted else ""})',
        "training.train()",
        "",
        f"# dataset: a sequence of STEPS * BATCH_SIZE or more examples {{{examples}}}",
    ]
    return _FILE.substitute(
        header=header(plan, "Model and Trainer", "Needs torch, transformers 5 and accelerate.", usage, IN_YOUR_LOOP),
        imports=torch_imports(plan) + ("" if twin is None else f"\n{twin.imports}"),
        setup=setup_source(plan),
        training=_training(plan, columns[1:]),
        model=model_source(plan) if twin is None else _twin_source(twin),
        optimizer=optimizer_source(plan),
        loss=loss_source(plan, f"model(inputs){'' if twin is None else LOGITS}"),
        logits="" if twin is None else LOGITS,
        given="".join(f', inputs["{name}"]' for name in columns)
        + (', self.shares.to(inputs["labels"].device)' if weighted else ""),
        shares=_SHARES if weighted else "",
        counted="        UPDATE[0] = self.state.global_step\n" if followed(plan) else "",
    )


def _twin_source(twin: Twin) -> str:
    """Source of ``build_model`` for a model of the library, with its multipliers attached."""
    scaled = multipliers_source(twin.plan)
    built = _TWIN.substitute(built=attached("library_model()") if scaled else "library_model()")
    return "\n\n\n".join([twin.source, *([scaled] if scaled else []), built])


class HuggingFace(Format):
    """The export format ``huggingface``: a Python file for Hugging Face's Trainer."""

    def write(self, plan: TransferPlan) -> str:
        return huggingface_file(plan)

    def why_not(self, plan: TransferPlan) -> str | None:
        return why_no_model(plan.model.family)


FORMAT = HuggingFace()


def _training(plan: TransferPlan, labels: list[str]) -> str:
    """Source of TRAINING, the settings of the run, and of SINGLE, settings with one value where a plan has many."""
    largest = _most_of_the_model(plan)
    settings: dict[str, Any] = {
        "max_steps": plan.steps,
        "per_device_train_batch_size": plan.batch_size,
        "gradient_accumulation_steps": 1,
        "max_grad_norm": plan.clip_norm or 0.0,
        "seed": plan.provenance.seed,
        "label_names": labels,
        "remove_unused_columns": False,
    }
    single: dict[str, Any] = {"learning_rate": largest.learning_rate, "weight_decay": torch_decay(plan, largest)}
    values = {**plan.optimizer_settings, "eps": largest.eps}
    single |= {theirs: values[name] for name, theirs in plan.optimizer_info.huggingface.items()}
    single |= own_schedule(plan)
    first, second = dictionary("TRAINING", settings), dictionary("SINGLE", single)
    return f"{first}\n\n{_about_single(plan, largest)}\n{second}"


def _most_of_the_model(plan: TransferPlan) -> TensorRow:
    """The tensor whose values are given where only one value is possible: the first hidden matrix."""
    return next((row for row in plan.trained if row.role == "hidden"), plan.trained[0])


def _about_single(plan: TransferPlan, largest: TensorRow) -> str:
    """Comment in the file above SINGLE, which says where its values come from."""
    lines = [
        "# One value each, as TrainingArguments takes them, those of "
        + largest.name
        + ". A log shows them, and a Trainer that makes",
        "# its own optimizer would use them for every tensor, which is another run: hand it the optimizer below.",
    ]
    if "lr_scheduler_type" not in own_schedule(plan):
        lines.append(
            f"# Hugging Face has no schedule with the values of this {plan.schedule.name!r} one; scheduler() is the plan's."
        )
    return "\n".join(lines)


def own_schedule(plan: TransferPlan) -> dict[str, Any]:
    """Settings of the Hugging Face schedule that equals the plan's at every update; {} if there is none.

    Other Hugging Face schedules with a warmup begin at 0, one update behind a plan's.
    """
    schedule = plan.schedule
    if isinstance(schedule, ConstantSchedule):
        return {"lr_scheduler_type": "constant"}
    if isinstance(schedule, CosineSchedule):
        length = schedule.warmup_fraction * plan.steps
        if abs(length - round(length)) < 1e-9 * plan.steps:
            return {
                "lr_scheduler_type": "cosine_warmup_with_min_lr",
                "lr_scheduler_kwargs": {"min_lr_rate": schedule.floor},
                "warmup_steps": round(length),
            }
    return {}


LOGITS = ".logits"
"""Source of the part of a library model's output that the plan's model puts out."""

_TWIN = Template('''def build_model():
    """The model, not yet initialised."""
    return $built''')

_SHARES = """    def __init__(self, *args, shares, **kwargs):
        super().__init__(*args, **kwargs)
        self.shares = shares

"""

_FILE = Template('''"""$header
"""

$imports
from transformers import Trainer, TrainingArguments

$setup

$training


$model


$optimizer


$loss


def training_arguments(output_dir, **changes):
    """The plan's TrainingArguments, with changes; an update must keep its BATCH_SIZE examples over all devices."""
    made = TrainingArguments(output_dir=output_dir, **(TRAINING | SINGLE | changes))
    examples = made.train_batch_size * made.gradient_accumulation_steps * made.world_size
    if examples != BATCH_SIZE:
        raise ValueError(
            f"an update would have {examples} examples, {made.train_batch_size} at once on each of {made.world_size} "
            f"processes, {made.gradient_accumulation_steps} times; the plan's has {BATCH_SIZE}: change "
            "per_device_train_batch_size or gradient_accumulation_steps"
        )
    return made


class PlanTrainer(Trainer):
    """A Trainer with the plan's training loss, which is also what it evaluates, without noise."""

${shares}    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean over the batch, in nats."""
$counted        loss = training_loss(model$given)
        return (loss, {"loss": loss, "logits": model(inputs["inputs"])$logits}) if return_outputs else loss


def trainer(model, output_dir, changes=None, **given):
    """A Trainer of the model with the plan's optimizer and schedule.

    ``changes`` are other TrainingArguments; what else is given goes to the Trainer, as train_dataset does.
    """
    update = optimizer(model)
    made = training_arguments(output_dir, **(changes or {}))
    return PlanTrainer(model, made, optimizers=(update, scheduler(update)), **given)
''')
