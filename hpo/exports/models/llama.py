"""Source of the Llama, for exported files. Imports no torch."""

import re
from math import sqrt
from string import Template

from hpo.exports.models.model import NONLINEARITY, ModelSource, Twin, dropped, each, noisy
from hpo.families.facts.llama import EPSILON, mlp_units
from windtunnel.types.following import followed
from windtunnel.types.plans import TensorRow, TransferPlan

THEIRS = {
    "token_embedding": "model.embed_tokens",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "norm": "model.norm",
    "readout": "lm_head",
}
"""Layer of a plan, or of its block -> layer of ``LlamaForCausalLM`` and of ``Qwen3ForCausalLM``, or of their block."""


def theirs(name: str) -> str:
    """Name of a tensor in ``transformers``: ``blocks.3.q.weight`` is ``model.layers.3.self_attn.q_proj.weight``."""
    path = re.fullmatch(r"(?:blocks\.(\d+)\.)?(\w+)\.weight", name)
    assert path is not None, name
    block, layer = path.groups()
    return f"{'' if block is None else f'model.layers.{block}.'}{THEIRS[layer]}.weight"


class LlamaSource(ModelSource):
    """Source of a model that computes the same outputs as ``hpo.families.llama.Llama``."""

    name = "Llama"

    def constants(self, plan: TransferPlan) -> list[str]:
        """Lines that set the sizes of heads and MLP, and ``ATTENTION_SCALE``."""
        chosen = plan.model.options
        divisor = "math.sqrt(D_HEAD)" if chosen.qk_norm else "D_HEAD"
        multiplier = 1.0 if plan.attention_multiplier is None else plan.attention_multiplier
        return [
            f"D_HEAD, GQA_RATIO, MLP_UNITS = {plan.model.head}, {chosen.gqa_ratio}, "
            f"{mlp_units(plan.width, chosen.multiple_of)}",
            f"ROPE_THETA, EPSILON, NORM_GAINS = {chosen.rope_theta!r}, {EPSILON!r}, {chosen.norm_gains!r}",
            f"ATTENTION_SCALE = {multiplier!r} / {divisor}",
        ]

    def source(self, plan: TransferPlan) -> str:
        """Source of the classes ``Norm``, ``Block`` and ``Llama``, and of the functions of attention."""
        normalised = plan.model.options.qk_norm
        return _LLAMA.substitute(
            each=each(plan, "block", "blocks"),
            embeddings=noisy(plan, "self.token_embedding(inputs)"),
            attention=dropped(plan, "attention(block, block.attention_norm(hidden))"),
            mlp=dropped(plan, "mlp(block, block.mlp_norm(hidden))"),
            activation=NONLINEARITY[plan.model.activation],
            norms=_HEAD_NORMS if normalised else "",
            normal="    q, k = block.q_norm(q), block.k_norm(k)\n" if normalised else "",
        )

    def twin(self, plan: TransferPlan) -> Twin | None:
        """``LlamaForCausalLM``, with ``qk_norm`` ``Qwen3ForCausalLM``, which is a Llama with that.

        None where the library's model has no place for something: dropout on branches, noise on embeddings, a schedule of
        regularisers, or a multiplier of attention beside trained gains of normalised queries.

        The library divides logits of attention by sqrt(d_head). The factor that is missing is a multiplier of the queries'
        matrix, so that a saved model has it in its weights; of normalised queries it is the constant gain.
        """
        chosen, terms = plan.model.options, plan.regularization
        multiplier = 1.0 if plan.attention_multiplier is None else plan.attention_multiplier
        trained_gains = chosen.qk_norm and chosen.norm_gains and multiplier != 1
        if terms.drops or terms.input_noise is not None or followed(plan) or trained_gains:
            return None
        factor = 1.0 if chosen.qk_norm else multiplier / sqrt(plan.model.head)
        rows = [_renamed(row, factor) for row in plan.tensors]
        name = "Qwen3" if chosen.qk_norm else "Llama"
        heads = plan.width // plan.model.head
        source = _TWIN.substitute(
            name=name,
            sizes=f"WIDTH, DEPTH, CLASSES = {plan.width}, {plan.depth}, {plan.classes}",
            units=mlp_units(plan.width, chosen.multiple_of),
            heads=heads,
            groups=heads // chosen.gqa_ratio,
            d_head=plan.model.head,
            context=plan.features,
            activation=THEIR_ACTIVATIONS[plan.model.activation],
            epsilon=repr(EPSILON),
            theta=repr(chosen.rope_theta),
            queries=_QUERIES.substitute(gain=repr(multiplier)) if chosen.qk_norm and multiplier != 1 else "",
            biases="attention_bias=False," if chosen.qk_norm else "attention_bias=False,\n            mlp_bias=False,",
        )
        imports = f"from transformers import {name}Config, {name}ForCausalLM"
        # A copy keeps the facts of the task, which are not a field.
        return Twin(plan.model_copy(update={"tensors": rows}), imports, source)


def _renamed(row: TensorRow, factor: float) -> TensorRow:
    """Row with the library's name, and a factor on the multiplier of the queries' matrices."""
    mine = factor if row.group == "q" else 1.0
    return row.model_copy(update={"name": theirs(row.name), "multiplier": row.multiplier * mine})


THEIR_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "tanh": "tanh", "silu": "silu"}
"""Activation -> its name in ``transformers``."""

_QUERIES = Template("""
    for layer in model.model.layers:
        torch.nn.init.constant_(layer.self_attn.q_norm.weight, $gain)  # the factor on the logits of attention""")

_TWIN = Template('''$sizes


def library_model():
    """A ${name}ForCausalLM without the plan's multipliers; gains that the plan does not train stay as they are."""
    model = ${name}ForCausalLM(
        ${name}Config(
            vocab_size=CLASSES,
            hidden_size=WIDTH,
            intermediate_size=$units,
            num_hidden_layers=DEPTH,
            num_attention_heads=$heads,
            num_key_value_heads=$groups,
            head_dim=$d_head,
            max_position_embeddings=$context,
            hidden_act="$activation",
            rms_norm_eps=$epsilon,
            rope_parameters={"rope_type": "default", "rope_theta": $theta},
            $biases
            tie_word_embeddings=False,
            use_cache=False,
            pad_token_id=None,
            bos_token_id=None,
            eos_token_id=None,
        )
    )$queries
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in TENSORS)
    return model''')

_HEAD_NORMS = """
        self.q_norm = Norm(D_HEAD)
        self.k_norm = Norm(D_HEAD)"""

_LLAMA = Template('''class Norm(nn.Module):
    """Root-mean-square norm over the last axis."""

    def __init__(self, size):
        super().__init__()
        if NORM_GAINS:
            self.weight = nn.Parameter(torch.ones(size))

    def forward(self, hidden):
        """Normalised values, in the shape of hidden values."""
        found = hidden * (hidden.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
        return found * self.weight if NORM_GAINS else found


class Block(nn.Module):
    """The weights of attention and MLP of one block."""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.k = nn.Linear(WIDTH, WIDTH // GQA_RATIO, bias=False)
        self.v = nn.Linear(WIDTH, WIDTH // GQA_RATIO, bias=False)
        self.o = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate = nn.Linear(WIDTH, MLP_UNITS, bias=False)
        self.up = nn.Linear(WIDTH, MLP_UNITS, bias=False)
        self.down = nn.Linear(MLP_UNITS, WIDTH, bias=False)
        self.attention_norm = Norm(WIDTH)
        self.mlp_norm = Norm(WIDTH)$norms


def rotated(heads):
    """Heads [batch, heads, context, D_HEAD]; entry i and entry i + D_HEAD / 2 turn together with the position."""
    exponents = torch.arange(0, D_HEAD, 2, device=heads.device, dtype=torch.float32) / D_HEAD
    wide = torch.promote_types(heads.dtype, torch.float32)
    frequencies = (1.0 / ROPE_THETA**exponents).to(wide)
    angles = torch.arange(heads.shape[-2], device=heads.device).to(wide)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    first, second = heads.chunk(2, dim=-1)
    return heads * angles.cos().to(heads.dtype) + torch.cat((-second, first), dim=-1) * angles.sin().to(heads.dtype)


def attention(block, hidden):
    """Causal attention of heads of D_HEAD, GQA_RATIO of which share keys and values; logits are ATTENTION_SCALE * q.k."""
    batch, context, _ = hidden.shape
    q, k, v = (layer(hidden).view(batch, context, -1, D_HEAD).transpose(1, 2) for layer in (block.q, block.k, block.v))
$normal    k, v = (part.repeat_interleave(GQA_RATIO, dim=1) for part in (rotated(k), v))
    mixed = functional.scaled_dot_product_attention(rotated(q), k, v, is_causal=True, scale=ATTENTION_SCALE)
    return block.o(mixed.transpose(1, 2).reshape(batch, context, -1))


def mlp(block, hidden):
    """The gated MLP."""
    return block.down($activation(block.gate(hidden)) * block.up(hidden))


class Llama(nn.Module):
    """A decoder-only transformer: DEPTH pre-norm blocks of WIDTH, rotary positions, gated MLP."""

    def __init__(self):
        super().__init__()
        self.token_embedding = nn.Embedding(CLASSES, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = Norm(WIDTH)
        self.readout = nn.Linear(WIDTH, CLASSES, bias=False)

    def forward(self, inputs):
        """Logits [batch, context, CLASSES] of the token after each of tokens [batch, context]."""
        hidden = $embeddings
        for $each:
            hidden = hidden + $attention
            hidden = hidden + $mlp
        return self.readout(self.norm(hidden))''')

MODEL = LlamaSource()
