"""Source of the decoder-only transformer, for exported files. Imports no torch."""

from string import Template

from hpo.exports.models.model import NONLINEARITY, ModelSource, dropped, each, noisy
from hpo.families.facts.transformer import EXPANSION
from windtunnel.types.plans import TransferPlan


class TransformerSource(ModelSource):
    """Source of a model that computes the same outputs as ``hpo.families.transformer.Transformer``."""

    name = "Transformer"
    normalises = True

    def constants(self, plan: TransferPlan) -> list[str]:
        """Lines that set ``CONTEXT``, ``D_HEAD`` and ``ATTENTION_MULTIPLIER``."""
        return [
            f"CONTEXT, D_HEAD = {plan.features}, {plan.model.head}",
            f"ATTENTION_MULTIPLIER = {1.0 if plan.attention_multiplier is None else plan.attention_multiplier!r}",
        ]

    def source(self, plan: TransferPlan) -> str:
        """Source of the classes ``Block`` and ``Transformer``, and of the function ``attention``."""
        activation = NONLINEARITY[plan.model.activation]
        return _TRANSFORMER.substitute(
            each=each(plan, "block", "blocks"),
            embeddings=noisy(plan, "tokens + positions"),
            attention=dropped(plan, "block.attention_out(attention(block.qkv(normalised(hidden, 1))))"),
            mlp=dropped(plan, f"block.mlp_out({activation}(block.mlp_in(normalised(hidden, 1))))"),
            expansion=EXPANSION,
        )


_TRANSFORMER = Template('''class Block(nn.Module):
    """The weights of attention and MLP of one block."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.attention_out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.mlp_in = nn.Linear(WIDTH, $expansion * WIDTH, bias=False)
        self.mlp_out = nn.Linear($expansion * WIDTH, WIDTH, bias=False)


def attention(qkv):
    """Causal attention of heads of D_HEAD; logits are divided by D_HEAD, not by its root."""
    batch, context, _ = qkv.shape
    q, k, v = qkv.view(batch, context, 3, -1, D_HEAD).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=ATTENTION_MULTIPLIER / D_HEAD)
    return mixed.transpose(1, 2).reshape(batch, context, -1)


class Transformer(nn.Module):
    """A decoder-only transformer: DEPTH pre-norm blocks of WIDTH, learned positions, untied readout."""

    def __init__(self):
        super().__init__()
        self.token_embedding = nn.Embedding(CLASSES, WIDTH)
        self.position_embedding = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.readout = nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs):
        """Logits [batch, context, CLASSES] of the token after each of tokens [batch, context]."""
        tokens = self.token_embedding(inputs)
        positions = self.position_embedding(torch.arange(inputs.shape[1], device=inputs.device))
        hidden = $embeddings
        for $each:
            hidden = hidden + $attention
            hidden = hidden + $mlp
        return self.readout(normalised(hidden, 1))''')

MODEL = TransformerSource()
