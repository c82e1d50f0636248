"""Models of transformers at the smallest size, as functions of the width, for the table of modules that learn."""

from typing import Any

from torch import Tensor, nn

from tests.user_modules.small_modules import CLASSES


class Logits(nn.Module):
    """A model of transformers that gives its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).logits


def _config(name: str, **fields: Any) -> Any:
    import transformers

    return getattr(transformers, name)(attn_implementation="eager", **fields)


def gpt2(width: int) -> nn.Module:
    from transformers import GPT2LMHeadModel

    config = _config(
        "GPT2Config", vocab_size=11, n_positions=8, n_embd=width, n_layer=1, n_head=width // 8,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False, use_cache=False,
    )  # fmt: skip
    return Logits(GPT2LMHeadModel(config))


def llama(width: int) -> nn.Module:
    from transformers import LlamaForCausalLM

    config = _config(
        "LlamaConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, num_key_value_heads=width // 8, head_dim=8, max_position_embeddings=8,
        use_cache=False,
    )  # fmt: skip
    return Logits(LlamaForCausalLM(config))


def mistral(width: int) -> nn.Module:
    from transformers import MistralForCausalLM

    config = _config(
        "MistralConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, num_key_value_heads=width // 8, head_dim=8, max_position_embeddings=8,
        use_cache=False, sliding_window=None,
    )  # fmt: skip
    return Logits(MistralForCausalLM(config))


def qwen2(width: int) -> nn.Module:
    from transformers import Qwen2ForCausalLM

    config = _config(
        "Qwen2Config", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, num_key_value_heads=width // 8, max_position_embeddings=8, use_cache=False,
        tie_word_embeddings=False,
    )  # fmt: skip
    return Logits(Qwen2ForCausalLM(config))


def neox(width: int) -> nn.Module:
    from transformers import GPTNeoXForCausalLM

    config = _config(
        "GPTNeoXConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, max_position_embeddings=8, use_cache=False,
    )  # fmt: skip
    return Logits(GPTNeoXForCausalLM(config))


def bert(width: int) -> nn.Module:
    from transformers import BertForSequenceClassification

    config = _config(
        "BertConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, max_position_embeddings=6, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, num_labels=CLASSES,
    )  # fmt: skip
    return Logits(BertForSequenceClassification(config))


def vit(width: int) -> nn.Module:
    from transformers import ViTForImageClassification

    config = _config(
        "ViTConfig", hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1, num_attention_heads=width // 8,
        image_size=6, patch_size=2, num_channels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        num_labels=CLASSES,
    )  # fmt: skip
    return Logits(ViTForImageClassification(config))
