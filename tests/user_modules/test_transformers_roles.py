"""Models of the package transformers: role, fan-in and start of every tensor, against each architecture's definition."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.families.own.describing import describe
from windtunnel.tasks import UserTask
from windtunnel.types.modules import ModuleInfo
from windtunnel.types.tensors import Role, TensorFacts

transformers = pytest.importorskip("transformers")

VOCABULARY, CONTEXT, HEAD = 17, 5, 8
CLASSES = 3


class Logits(nn.Module):
    """The logits of a model that gives a ``ModelOutput``."""

    def __init__(self, model: nn.Module, name: str = "input_ids") -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**{self.name: inputs}).logits
        return logits


class Echo(Logits):
    """A model of sequences to sequences that reads its input as its target, too."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=inputs, decoder_input_ids=inputs).logits
        return logits


TEXT = {"vocab_size": VOCABULARY, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}


def gpt2(width: int, depth: int) -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=8,
        n_embd=width,
        n_layer=depth,
        n_head=width // HEAD,
        bos_token_id=0,
        eos_token_id=1,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
        use_cache=False,
    )
    return Logits(transformers.GPT2LMHeadModel(config))


def _llama(width: int, depth: int) -> dict[str, Any]:
    """Grouped-query attention with two heads for each pair of keys and values, feed-forward layers of 3 widths."""
    return {
        **TEXT,
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // HEAD,
        "num_key_value_heads": width // HEAD // 2,
        "use_cache": False,
    }


def llama(width: int, depth: int) -> nn.Module:
    return Logits(transformers.LlamaForCausalLM(transformers.LlamaConfig(**_llama(width, depth), attention_bias=True)))


def mixtral(width: int, depth: int) -> nn.Module:
    config = transformers.MixtralConfig(
        **_llama(width, depth), num_local_experts=4, num_experts_per_tok=2, experts_implementation="eager"
    )
    return Logits(transformers.MixtralForCausalLM(config))


def mamba(width: int, depth: int) -> nn.Module:
    config = transformers.MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=depth,
        state_size=4,
        expand=2,
        conv_kernel=3,
        time_step_rank=width // 16,
        use_cache=False,
    )
    return Logits(transformers.MambaForCausalLM(config))


def t5(width: int, depth: int) -> nn.Module:
    config = transformers.T5Config(
        vocab_size=VOCABULARY,
        d_model=width,
        d_kv=HEAD,
        d_ff=3 * width,
        num_layers=depth,
        num_heads=width // HEAD,
        relative_attention_num_buckets=6,
        feed_forward_proj="gated-gelu",
        dropout_rate=0,
        use_cache=False,
    )
    return Echo(transformers.T5ForConditionalGeneration(config))


NO_DROPOUT = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "num_labels": CLASSES}


def _encoder(width: int, depth: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // HEAD,
        **NO_DROPOUT,
    }


def bert(width: int, depth: int) -> nn.Module:
    return Logits(transformers.BertForSequenceClassification(transformers.BertConfig(**TEXT, **_encoder(width, depth))))


def vit(width: int, depth: int) -> nn.Module:
    config = transformers.ViTConfig(image_size=8, patch_size=4, num_channels=3, **_encoder(width, depth))
    return Logits(transformers.ViTForImageClassification(config), "pixel_values")


@dataclass(frozen=True)
class Row:
    """What an architecture's definition says of the tensors whose names fit a pattern."""

    pattern: str
    role: Role
    fan_in: Callable[[int], int] = lambda width: 1


def width_(times: int = 1) -> Callable[[int], int]:
    return lambda width: times * width


def fixed(count: int) -> Callable[[int], int]:
    return lambda width: count


GAINS = Row("*norm*.weight", "vector")
GPT2 = (
    Row("*.wte.weight", "input"),
    Row("*.wpe.weight", "input"),
    Row("*.ln_*", "vector"),
    Row("*.bias", "vector"),
    Row("*.c_attn.weight", "hidden", width_()),
    Row("*.attn.c_proj.weight", "hidden", width_()),
    Row("*.c_fc.weight", "hidden", width_()),
    Row("*.mlp.c_proj.weight", "hidden", width_(4)),
)
ATTENTION = (
    Row("*.[qkvo]_proj.weight", "hidden", width_()),
    GAINS,
    Row("*.embed_tokens.weight", "input"),
    Row("*.lm_head.weight", "output", width_()),
)
LLAMA = (
    *ATTENTION,
    Row("*.[qkvo]_proj.bias", "vector"),
    Row("*.mlp.gate_proj.weight", "hidden", width_()),
    Row("*.mlp.up_proj.weight", "hidden", width_()),
    Row("*.mlp.down_proj.weight", "hidden", width_(3)),
)
MIXTRAL = (
    *ATTENTION,
    Row("*.mlp.gate.weight", "output", width_()),
    Row("*.experts.gate_up_proj", "hidden", width_()),
    Row("*.experts.down_proj", "hidden", width_(3)),
)
MAMBA = (
    Row("*.embeddings.weight", "input"),
    GAINS,
    Row("*.A_log", "vector"),
    Row("*.D", "vector"),
    Row("*.bias", "vector"),
    Row("*.conv1d.weight", "input", fixed(3)),
    Row("*.in_proj.weight", "hidden", width_()),
    Row("*.x_proj.weight", "hidden", width_(2)),
    Row("*.dt_proj.weight", "hidden", lambda width: width // 16),
    Row("*.out_proj.weight", "hidden", width_(2)),
)
T5 = (
    Row("*.shared.weight", "input"),
    Row("*.relative_attention_bias.weight", "input"),
    GAINS,
    Row("*Attention.[qkvo].weight", "hidden", width_()),
    Row("*.wi_[01].weight", "hidden", width_()),
    Row("*.wo.weight", "hidden", width_(3)),
)
BERT = (
    Row("*_embeddings.weight", "input"),
    Row("*.LayerNorm.*", "vector"),
    Row("*.classifier.weight", "output", width_()),
    Row("*.classifier.bias", "scalar"),
    Row("*.bias", "vector"),
    Row("*.intermediate.dense.weight", "hidden", width_()),
    Row("*.attention.output.dense.weight", "hidden", width_()),
    Row("*.layer.*.output.dense.weight", "hidden", width_(4)),
    Row("*.pooler.dense.weight", "hidden", width_()),
    Row("*.self.*.weight", "hidden", width_()),
)
VIT = (
    Row("*.cls_token", "vector"),
    Row("*.position_embeddings", "input"),
    Row("*.projection.weight", "input", fixed(3 * 4 * 4)),
    GAINS,
    Row("*norm*.bias", "vector"),
    Row("*.classifier.weight", "output", width_()),
    Row("*.classifier.bias", "scalar"),
    Row("*.bias", "vector"),
    Row("*.[qkvo]_proj.weight", "hidden", width_()),
    Row("*.fc1.weight", "hidden", width_()),
    Row("*.fc2.weight", "hidden", width_(4)),
)
TABLES = {
    gpt2: GPT2,
    llama: LLAMA,
    mixtral: MIXTRAL,
    mamba: MAMBA,
    t5: T5,
    bert: BERT,
    vit: VIT,
}
INIT_STD = {mamba: {"*.A_log": 0.1}}
"""Mamba's A starts at the numbers 1 to N, which no rule of initialisation gives."""


def task(build: Callable[[int, int], nn.Module]) -> UserTask:
    shapes = {bert: {"classes": CLASSES, "inputs": "tokens"}, vit: {"classes": CLASSES, "input_shape": (3, 8, 8)}}
    text = {"kind": "language", "inputs": "tokens", "classes": VOCABULARY}
    return UserTask(
        **{
            "name": build.__name__,
            "input_shape": (CONTEXT,),
            "examples": (8, 8, 8),
            "load": lambda: (),
            "build": build,
            "width": 32,
            "depth": 2,
            "init_std": INIT_STD.get(build, {}),
            **shapes.get(build, text),
        }
    )


@cache
def described(build: Callable[[int, int], nn.Module]) -> ModuleInfo:
    return describe(task(build))


def expected(table: tuple[Row, ...], name: str) -> Row:
    return next(row for row in table if fnmatchcase(name, row.pattern))


def check(fact: TensorFacts, row: Row, width: int) -> None:
    """One tensor against the definition: role, fan-in, start."""
    assert (fact.role, fact.fan_in) == (row.role, row.fan_in(width)), (fact.name, width)
    if row.role == "hidden" or (row.role == "input" and fact.init_value is None):
        assert fact.init_std == pytest.approx(row.fan_in(width) ** -0.5), (fact.name, width)


@pytest.mark.parametrize("build", TABLES, ids=lambda build: build.__name__)
def test_every_tensor_has_the_role_fan_in_and_start_of_its_architecture(build):
    info, table = described(build), TABLES[build]
    names = [name for name, _ in build(32, 2).named_parameters()]
    assert [law.name for law in info.tensors] == names
    assert all(any(fnmatchcase(name, row.pattern) for name in names) for row in table)
    for width in (32, 64, 128):
        for fact in info.tensors_at(width, 2):
            check(fact, expected(table, fact.name), width)
    built = {name: tuple(value.shape) for name, value in build(128, 3).named_parameters()}
    assert built == {fact.name: tuple(fact.shape) for fact in info.tensors_at(128, 3)}


@pytest.mark.parametrize("build", [gpt2, t5, mamba], ids=lambda build: build.__name__)
def test_a_tied_readout_is_an_input_with_the_caveat_told(build):
    tied = [law for law in described(build).tensors if law.tied]
    assert [law.role for law in tied] == ["input"]
    assert any(f"{tied[0].name} is tied: it is an input" in warning for warning in described(build).warnings)


def test_a_conv1d_reads_its_input_over_the_first_dimension():
    """The oracle is the layer's own derivative: one output depends on [fan_in] numbers of the weight."""
    layer = gpt2(32, 1).get_submodule("model.transformer.h.0.mlp.c_fc")
    output = layer(torch.randn(1, 32, generator=torch.Generator().manual_seed(0)))
    (slope,) = torch.autograd.grad(output[0, 0], layer.weight)
    fan_in = int((slope != 0).sum())
    (law,) = [law for law in described(gpt2).tensors if law.name.endswith("h.0.mlp.c_fc.weight")]
    assert (law.shape, law.fan_in[0]) == ([32, 128], fan_in)
    assert prod(law.shape) // fan_in == 128
