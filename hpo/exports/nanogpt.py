"""Writes a transfer plan as a config file of nanoGPT's train.py, with functions for parts beyond its flags. No torch here.

nanoGPT (github.com/karpathy/nanoGPT) executes the file within train.py's own names. Its flags hold the sizes, one learning
rate, one decay and the schedule. ``plan_model`` turns its GPT into the tuned transformer, and ``plan_optimizer`` makes a
group for each tensor.
"""

import re
from string import Template
from typing import Any

from hpo.exports.header import header
from hpo.exports.registry import Format
from hpo.exports.tables import dictionary, drawn_std, torch_decay
from windtunnel.types.following import followed
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.plans import TensorRow, TransferPlan
from windtunnel.types.schedules import CosineSchedule

NAMES = {
    "token_embedding.weight": "transformer.wte.weight",
    "position_embedding.weight": "transformer.wpe.weight",
    "qkv.weight": "attn.c_attn.weight",
    "attention_out.weight": "attn.c_proj.weight",
    "mlp_in.weight": "mlp.c_fc.weight",
    "mlp_out.weight": "mlp.c_proj.weight",
    "readout.weight": "lm_head.weight",
    "readout.bias": "lm_head.bias",
}
"""Tensor of a plan (or of a block) -> tensor of nanoGPT's GPT (or of its block)."""
THEIR_OPTIMIZER = "torch.optim.AdamW"


def _in_block(name: str) -> str:
    """Name of a tensor without the prefix of its block."""
    return re.sub(r"^blocks\.\d+\.", "", name)


def unlike_nanogpt(plan: TransferPlan) -> str | None:
    """Every reason why nanoGPT cannot run this plan, in one text; None if it can."""
    if {_in_block(row.name) for row in plan.tensors} != NAMES.keys():
        return f"nanoGPT has transformers, and this plan is for family {plan.model.family!r}; allowed: transformer"
    terms, reasons = plan.regularization, []
    if plan.optimizer_info.torch.path != THEIR_OPTIMIZER:
        allowed = ", ".join(info.name for info in OPTIMIZERS.values() if info.torch.path == THEIR_OPTIMIZER)
        reasons.append(f"nanoGPT trains with AdamW, and this plan's optimizer is {plan.optimizer!r}; allowed: {allowed}")
    if not isinstance(plan.schedule, CosineSchedule):
        reasons.append(f"nanoGPT has one schedule, and this plan's is {plan.schedule.name!r}; allowed: cosine")
    if plan.model.activation != "gelu":
        reasons.append(f"nanoGPT's MLP has GELU, and this plan's activation is {plan.model.activation!r}; allowed: gelu")
    terms_of_loss = {
        "an L2 penalty": any(row.l2 > 0 for row in plan.tensors),
        "label smoothing": terms.label_smoothing is not None,
        "mixture weights": bool(plan.mixture_weights),
        "input noise": terms.input_noise is not None,
        "a schedule of its regularisers": bool(followed(plan)),
    }
    reasons += [
        f"nanoGPT's loss has no place for {term}, which this plan has; allowed: cross-entropy alone"
        for term, present in terms_of_loss.items()
        if present
    ]
    return "; ".join(reasons) or None


def nanogpt_file(plan: TransferPlan) -> str:
    """Source of the config file of a plan that nanoGPT can run (``unlike_nanogpt`` is None)."""
    lead = next(row for row in plan.tensors if row.role == "hidden")
    rates = list(plan.regularization.layer_dropout.values())
    tensors = {
        theirs(row.name): (
            drawn_std(row),
            row.learning_rate / lead.learning_rate,
            torch_decay(plan, row),
            row.eps,
            row.multiplier,
        )
        for row in plan.tensors
    }
    return _FILE.substitute(
        header=header(plan, "nanoGPT config", "Goes into nanoGPT's config/.", _USAGE, IN_YOUR_LOOP),
        flags="\n".join(f"{name} = {value!r}" for name, value in _flags(plan, lead).items()),
        lead=theirs(lead.name),
        tensors=dictionary("PLAN_TENSORS", tensors),
        seed=plan.provenance.seed,
        attention=repr(1.0 if plan.attention_multiplier is None else plan.attention_multiplier),
        rates=f"\nPLAN_DROPOUT = {rates!r}  # of each block" if rates else "",
        dropout=_dropout(plan),
    )


class NanoGPT(Format):
    """The export format ``nanogpt``: a config file of nanoGPT's train.py, for plans that it can run."""

    def write(self, plan: TransferPlan) -> str:
        return nanogpt_file(plan)

    def why_not(self, plan: TransferPlan) -> str | None:
        return unlike_nanogpt(plan)


FORMAT = NanoGPT()


def _dropout(plan: TransferPlan) -> str:
    """Source in ``plan_model`` that replaces nanoGPT's dropout by the plan's; empty without dropout."""
    if plan.regularization.layer_dropout:
        return _DROPOUT.substitute(each="block, rate in zip(model.transformer.h, PLAN_DROPOUT)", rate="rate")
    one = plan.regularization.dropout is not None
    return _DROPOUT.substitute(each="block in model.transformer.h", rate="dropout") if one else ""


def theirs(name: str) -> str:
    """Name of a tensor in nanoGPT: ``blocks.3.qkv.weight`` is ``transformer.h.3.attn.c_attn.weight``."""
    if not name.startswith("blocks."):
        return NAMES[name]
    _, index, rest = name.split(".", 2)
    return f"transformer.h.{index}.{NAMES[rest]}"


def _flags(plan: TransferPlan, lead: TensorRow) -> dict[str, Any]:
    """Flag of train.py -> value; ``lead`` is the tensor whose learning rate and decay the flags hold.

    The schedule of train.py at iteration i, with warmup_iters = W - 1 and lr_decay_iters = T - 1, is the plan's cosine at
    time i + 1 of T with a warmup of W steps; W and T may be fractions. max_iters = T - 1 gives T updates.
    """
    assert isinstance(plan.schedule, CosineSchedule)
    return {
        "n_layer": plan.depth,
        "n_head": plan.width // plan.model.head,
        "n_embd": plan.width,
        "block_size": plan.context,
        "bias": False,
        "dropout": plan.regularization.dropout or 0.0,
        "batch_size": plan.batch_size,
        "gradient_accumulation_steps": 1,
        "max_iters": plan.steps - 1,
        "decay_lr": True,
        "learning_rate": lead.learning_rate,
        "min_lr": plan.schedule.floor * lead.learning_rate,
        "warmup_iters": _whole(plan.schedule.warmup_fraction * plan.steps - 1),
        "lr_decay_iters": plan.steps - 1,
        "weight_decay": torch_decay(plan, lead),
        "beta1": plan.beta1,
        "beta2": plan.beta2,
        "grad_clip": plan.clip_norm or 0.0,
    }


def _whole(value: float) -> float:
    """The value as an integer if it is one up to rounding."""
    return round(value) if abs(value - round(value)) < 1e-9 * max(1, abs(value)) else value


IN_YOUR_LOOP = "plan_model does all of this to nanoGPT's model:"

_USAGE = (
    "python train.py config/FILE.py",
    "",
    "# with these changes to train.py, for what its flags cannot say (below):",
    "model = GPT(gptconf); plan_model(model)                 # wherever train.py and sample.py say model = GPT(gptconf)",
    "optimizer = plan_optimizer(model)                       # instead of model.configure_optimizers(...)",
    "param_group['lr'] = lr * param_group['lr_scale']        # instead of param_group['lr'] = lr",
)

_DROPOUT = Template("""
    # Gaussian noise with the mean and variance of dropout, on what attention and MLP add, and nowhere else.
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0

    def noise(rate):
        deviation = (rate / (1 - rate)) ** 0.5
        return lambda module, inputs, output: (
            output * (1 + deviation * torch.randn_like(output)) if module.training else output
        )

    for $each:
        block.attn.dropout = 0.0
        block.attn.c_proj.register_forward_hook(noise($rate))
        block.mlp.c_proj.register_forward_hook(noise($rate))""")

_FILE = Template('''"""$header

What stock nanoGPT cannot do, and plan_model and plan_optimizer can:
* a learning rate, decay, eps and initial std for each tensor: its own are one rate, one eps, one decay of all matrices
* attention logits divided by d_head instead of its root
* multipliers on embeddings and readout, a readout of its own with a bias (nanoGPT's is the token embedding)
* norms without gains that are trained
Without them the flags below are another model: values that were tuned for muP, used without it, do not carry over.
"""

$flags

# Tensor -> (std of its normal initial values, learning rate over that of $lead,
#            weight decay, eps, forward multiplier)
$tensors
PLAN_SEED = $seed
PLAN_ATTENTION = $attention$rates


def plan_model(model):
    """Make nanoGPT's GPT the transformer that was tuned, with its initial weights. Load checkpoints after it."""
    import torch

    head, device = model.lm_head, model.lm_head.weight.device
    head.weight = torch.nn.Parameter(torch.empty_like(head.weight))  # no longer the token embedding
    head.bias = torch.nn.Parameter(torch.empty(head.weight.shape[0], device=device))
    for name, parameter in model.named_parameters():
        if name not in PLAN_TENSORS:
            parameter.requires_grad_(False)  # gains of norms: 1
    generator = torch.Generator().manual_seed(PLAN_SEED)
    with torch.no_grad():
        for name, (std, _, _, _, _) in PLAN_TENSORS.items():
            parameter = model.get_parameter(name)
            shape = parameter.shape
            parameter.copy_(torch.randn(shape, generator=generator) * std if std > 0 else torch.zeros(shape))

    def scale_input(factor):
        return lambda module, inputs: (inputs[0] * factor,)

    def scale_output(factor):
        return lambda module, inputs, output: output * factor

    for name, (_, _, _, _, factor) in PLAN_TENSORS.items():
        layer = model.get_submodule(name.rpartition(".")[0])
        if factor != 1 and isinstance(layer, torch.nn.Embedding):
            layer.register_forward_hook(scale_output(factor))
        elif factor != 1:
            layer.register_forward_pre_hook(scale_input(factor))

    # nanoGPT divides logits by the root of d_head: queries that are this much larger make them PLAN_ATTENTION q.k / d_head.
    width = model.config.n_embd
    factor = PLAN_ATTENTION / (width // model.config.n_head) ** 0.5

    def scale_queries(module, inputs, output):
        return torch.cat((output[..., :width] * factor, output[..., width:]), dim=-1)

    for block in model.transformer.h:
        block.attn.c_attn.register_forward_hook(scale_queries)$dropout
    return model


def plan_optimizer(model):
    """AdamW with a group for each tensor; multiply the rate of get_lr by each group's lr_scale."""
    import torch

    groups = [
        {
            "params": [model.get_parameter(name)],
            "lr": learning_rate * scale,
            "lr_scale": scale,
            "weight_decay": decay,
            "eps": eps,
        }
        for name, (_, scale, decay, eps, _) in PLAN_TENSORS.items()
    ]
    return torch.optim.AdamW(groups, betas=(beta1, beta2))
''')
