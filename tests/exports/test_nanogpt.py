"""The nanoGPT file, executed as nanoGPT does: flags, schedule, and a GPT of its layout that trains as the plan says."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpo.exports.registry import export, why_not
from hpo.tasks import load
from windtunnel import schedules

# train.py's own settings of these types are what a config file may change; these are its values.
TRAIN_PY: dict[str, Any] = {
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "block_size": 1024,
    "bias": False,
    "dropout": 0.0,
    "batch_size": 12,
    "gradient_accumulation_steps": 40,
    "max_iters": 600000,
    "decay_lr": True,
    "learning_rate": 6e-4,
    "min_lr": 6e-5,
    "warmup_iters": 2000,
    "lr_decay_iters": 600000,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.95,
    "grad_clip": 1.0,
}


def get_lr(it: int, flags: dict[str, Any]) -> float:
    """nanoGPT's schedule (train.py, get_lr)."""
    if it < flags["warmup_iters"]:
        return flags["learning_rate"] * (it + 1) / (flags["warmup_iters"] + 1)
    if it > flags["lr_decay_iters"]:
        return flags["min_lr"]
    decay_ratio = (it - flags["warmup_iters"]) / (flags["lr_decay_iters"] - flags["warmup_iters"])
    assert 0 <= decay_ratio <= 1
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return flags["min_lr"] + coeff * (flags["learning_rate"] - flags["min_lr"])


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.layer_norm(inputs, self.weight.shape, self.weight, None, 1e-5)


class Attention(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.n_head, self.dropout = config.n_head, config.dropout

    def forward(self, x: Tensor) -> Tensor:
        batch, context, width = x.size()
        heads = (batch, context, self.n_head, width // self.n_head)
        q, k, v = (part.view(heads).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
        rate = self.dropout if self.training else 0
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=rate, is_causal=True)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).contiguous().view(batch, context, width)))


class Mlp(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.ln_1, self.attn = Norm(config.n_embd), Attention(config)
        self.ln_2, self.mlp = Norm(config.n_embd), Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """The layout of nanoGPT's model.py: names, order, tied readout, norms with gains, dropout where it has it."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        parts = {
            "wte": nn.Embedding(config.vocab_size, config.n_embd),
            "wpe": nn.Embedding(config.block_size, config.n_embd),
            "drop": nn.Dropout(config.dropout),
            "h": nn.ModuleList([Block(config) for _ in range(config.n_layer)]),
            "ln_f": Norm(config.n_embd),
        }
        self.transformer = nn.ModuleDict(parts)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1])
        hidden = self.transformer.drop(self.transformer.wte(tokens) + self.transformer.wpe(positions))
        for block in self.transformer.h:
            hidden = block(hidden)
        return self.lm_head(self.transformer.ln_f(hidden))


TEXT = {"task": "python-text", "model": {"width": 32, "depth": 1}}
TUNED = {"learning_rate": 0.02, "output_multiplier": 2.0, "embedding_multiplier": 0.7, "attention_multiplier": 3.0}


def executed(plan: Any) -> dict[str, Any]:
    """train.py's globals after its configurator has executed the file among them."""
    names = dict(TRAIN_PY)
    exec(export(plan, "nanogpt"), names)
    return names


def test_the_flags_are_the_plans_values_and_none_that_nanogpt_does_not_have(finish, plan_of) -> None:
    fields = TEXT | {"optimizer": {"clip_norm": None}, "inner": {"batch_size": 24}}
    plan = plan_of(
        finish(fields, {"learning_rate": 0.02, "weight_decay": 0.3, "beta2": 0.97}), width=128, depth=2, steps=400
    )
    names = executed(plan)
    hidden = next(row for row in plan.tensors if row.role == "hidden")
    assert {name: names[name] for name in TRAIN_PY} == {
        "n_layer": 2,
        "n_head": 8,
        "n_embd": 128,
        "block_size": 64,
        "bias": False,
        "dropout": 0.0,
        "batch_size": 24,
        "gradient_accumulation_steps": 1,
        "max_iters": 399,
        "decay_lr": True,
        "learning_rate": hidden.learning_rate,
        "min_lr": 0.1 * hidden.learning_rate,
        "warmup_iters": 19,
        "lr_decay_iters": 399,
        "weight_decay": hidden.weight_decay,
        "beta1": 0.9,
        "beta2": 0.97,
        "grad_clip": 0.0,
    }
    added = {name for name in names if name not in TRAIN_PY and not name.startswith("__")}
    assert added == {"PLAN_TENSORS", "PLAN_SEED", "PLAN_ATTENTION", "plan_model", "plan_optimizer"}
    # A command line changes a flag to a value of the same type only.
    assert all(type(names[name]) is type(value) for name, value in TRAIN_PY.items())


@pytest.mark.parametrize("warmup", [0.0, 0.001, 0.05, 0.1234])
def test_its_schedule_by_nanogpts_formula_is_the_plans(finish, plan_of, warmup: float) -> None:
    """Also with a warmup of no step, of less than one, and of a broken number of steps."""
    schedule = {"name": "cosine", "warmup_fraction": warmup, "floor": 0.07}
    plan = plan_of(finish(TEXT | {"schedule": schedule}), width=64, steps=300)
    names = executed(plan)
    for step in range(names["max_iters"] + 1):
        expected = names["learning_rate"] * schedules.multiplier(plan.schedule, step, plan.steps, plan.tokens_per_step)
        assert get_lr(step, names) == pytest.approx(expected, rel=1e-9)
    assert names["max_iters"] + 1 == plan.steps


@pytest.mark.parametrize("decay", ["decoupled", "independent"])
def test_nanogpts_model_with_plan_model_trains_as_the_torch_file_does(finish, plan_of, decay: str) -> None:
    """Untied readout, logits over d_head, multipliers, groups: the same initial weights and the same losses."""
    plan = plan_of(finish(TEXT | {"optimizer": {"decay": decay}, "inner": {"batch_size": 8}}, TUNED), width=64, depth=2)
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    theirs = file["build_model"]()
    file["initialise"](theirs)
    update = file["optimizer"](theirs)
    clock = file["scheduler"](update)

    names = executed(plan)
    config = {name: names[name] for name in ("n_layer", "n_head", "n_embd", "block_size", "bias", "dropout")}
    model = GPT(SimpleNamespace(**config, vocab_size=plan.classes))
    names["plan_model"](model)
    optimizer = names["plan_optimizer"](model)
    train = load(plan.task).train
    for step in range(4):
        inputs, labels = (part[8 * step : 8 * step + 8] for part in (train.inputs, train.labels))
        for group in optimizer.param_groups:
            group["lr"] = get_lr(step, names) * group["lr_scale"]
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(inputs).flatten(0, 1), labels.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), names["grad_clip"])
        optimizer.step()
        assert file["train_step"](theirs, update, clock, inputs, labels) == pytest.approx(loss.item(), rel=1e-5)
    tied = model.transformer.wte.weight is model.lm_head.weight
    assert not tied and all(torch.equal(block.ln_1.weight, torch.ones(64)) for block in model.transformer.h)


@pytest.mark.parametrize("layered", [False, True])
def test_dropout_is_the_plans_noise_and_none_of_nanogpts_own(finish, plan_of, layered: bool) -> None:
    fields = {"regularization": {"dropout": 0.3}}
    if layered:
        fields = {"search": [{"name": "dropout", "scope": "layer"}], "model": {"width": 32, "depth": 2}}
    rates = {"dropout.blocks.0": 0.2, "dropout.blocks.1": 0.4} if layered else {}
    # A block that the proxy does not have takes the rate of its last one.
    plan = plan_of(finish(TEXT | fields, rates), width=32, depth=3 if layered else 1)
    file: dict[str, Any] = {"__name__": "plan"}
    exec(compile(export(plan, "torch"), "plan.py", "exec"), file)
    theirs = file["build_model"]()
    names = executed(plan)
    assert names["dropout"] == (0.0 if layered else 0.3) and names.get("PLAN_DROPOUT", [0.2, 0.4, 0.4]) == [0.2, 0.4, 0.4]
    config = {name: names[name] for name in ("n_layer", "n_head", "n_embd", "block_size", "bias", "dropout")}
    model = GPT(SimpleNamespace(**config, vocab_size=plan.classes))
    names["plan_model"](model)
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(part.shape, generator=generator) / 4 for name, part in theirs.named_parameters()}
    with torch.no_grad():
        for name, value in weights.items():
            theirs.get_parameter(name).copy_(value)
    with torch.no_grad():
        for name, value in zip(names["PLAN_TENSORS"], weights.values(), strict=True):
            model.get_parameter(name).copy_(value)
    tokens = torch.randint(plan.classes, (3, 64), generator=generator)
    torch.manual_seed(5)
    noisy = model.train()(tokens)
    torch.manual_seed(5)
    torch.testing.assert_close(noisy, theirs.train()(tokens), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.eval()(tokens), theirs.eval()(tokens), rtol=1e-4, atol=1e-5)
    assert (noisy - model(tokens)).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("fields", "tuned", "reasons"),
    [
        ({}, {}, ["this plan is for family 'mlp'; allowed: transformer"]),
        (
            TEXT | {"optimizer": {"name": "sgd"}, "schedule": {"name": "constant"}},
            {},
            ["optimizer is 'sgd'; allowed: adamw", "this plan's is 'constant'; allowed: cosine"],
        ),
        (TEXT | {"model": {"width": 32, "depth": 1, "activation": "tanh"}}, {}, ["activation is 'tanh'; allowed: gelu"]),
        (
            TEXT | {"regularization": {"label_smoothing": 0.1, "input_noise": 0.2}},
            {},
            ["no place for label smoothing", "no place for input noise"],
        ),
    ],
)
def test_what_nanogpt_cannot_run_is_refused_with_every_reason(finish, plan_of, fields, tuned, reasons) -> None:
    plan = plan_of(finish(fields, tuned), width=64)
    with pytest.raises(ValueError) as refusal:
        export(plan, "nanogpt")
    for reason in reasons:
        assert reason in str(refusal.value)
    assert why_not(plan, "nanogpt") == str(refusal.value)
    assert all(why_not(plan, kind) is None for kind in ("json", "yaml", "torch", "huggingface", "optax"))
