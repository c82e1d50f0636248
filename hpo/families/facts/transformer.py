"""Facts of the decoder-only transformer. Imports no torch."""

from hpo.families.facts.family import (
    CoordinateCheck,
    FamilyFacts,
    Footprint,
    Measured,
    check_sizes,
    fact,
    readout,
)
from windtunnel.types.model import ModelSpec
from windtunnel.types.results import TensorFacts
from windtunnel.types.tasks import TaskInfo

EXPANSION = 4
"""Units of a transformer block's MLP over the width."""
LARGE = 2**17
"""Floats of a layer's output for one batch, above which arithmetic and memory take the time of a kernel, and not its call:
some 20 microseconds against 5."""
TAPE = 6
"""Bytes that a tape by hand holds for every float that a forward pass keeps."""
MOST_TAPE_BYTES = 2**29
"""Bytes of all the tapes that are kept at once: about what the gradient of the validation loss takes before any of
them."""


class TransformerFacts(FamilyFacts):
    """Embeddings of tokens and positions, ``depth`` blocks of attention and MLP, and a readout."""

    def tensors(self, model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
        """Tensors of the embeddings, of the blocks in order, and of the readout."""
        return transformer_tensors(task.features, task.classes, model.width, model.depth)

    def footprint(self, model: ModelSpec, task: TaskInfo) -> Footprint:
        """Every matrix but the embeddings is used at every token, and so is the context."""
        width, depth, classes = model.width, model.depth, task.classes
        context, heads = task.features, width // model.head
        attention = 3 * heads * context
        token = (3 + 18 * depth) * width + depth * attention + 3 * classes
        live = 12 * width + 5 * heads * context + classes
        # Of two products of a query with all keys and of the weights with all values, each context * width.
        used = depth * (4 + 2 * EXPANSION) * width * width + width * classes + 2 * depth * context * width
        return Footprint(saved=context * token, live=context * live, multiply_adds=context * used)

    def context_products(self, model: ModelSpec, task: TaskInfo) -> int:
        """A product of context * width in each block."""
        return model.depth * task.features * model.width

    def members_together(self, model: ModelSpec, task: TaskInfo, batch: int) -> int | None:
        """Members whose largest layer's outputs together stay below ``LARGE``, at least one.

        Where the layers of one member already are large, more of them at once only leave the caches; and one after the
        other they need the activations of one.
        """
        widest = max(EXPANSION * model.width, model.width // model.head * task.features)
        return max(1, LARGE // (batch * task.features * widest))

    def tapes_kept(self, model: ModelSpec, task: TaskInfo, batch: int) -> int:
        """Steps whose tapes fit into ``MOST_TAPE_BYTES``."""
        return MOST_TAPE_BYTES // (TAPE * self.footprint(model, task).saved * batch)


def transformer_tensors(context: int, classes: int, width: int, depth: int) -> list[TensorFacts]:
    """Tensors of a transformer with ``depth`` blocks, in the order of the module's ``named_parameters``.

    ``token_embedding.weight`` [classes, width], ``position_embedding.weight`` [context, width]; of each block
    ``blocks.i.qkv.weight`` [3 width, width], ``attention_out.weight`` [width, width], ``mlp_in.weight``
    [4 width, width], ``mlp_out.weight`` [width, 4 width]; ``readout.weight`` [classes, width], ``readout.bias`` [classes].

    Raises:
        ValueError: a size is below 1.
    """
    check_sizes("a transformer", context=context, classes=classes, width=width, depth=depth)
    tensors = [
        fact("token_embedding.weight", [classes, width], "input"),
        fact("position_embedding.weight", [context, width], "input", "position"),
    ]
    shapes = {
        "qkv": [3 * width, width],
        "attention_out": [width, width],
        "mlp_in": [EXPANSION * width, width],
        "mlp_out": [width, EXPANSION * width],
    }
    for index in range(depth):
        for name, shape in shapes.items():
            tensors.append(fact(f"blocks.{index}.{name}.weight", shape, "hidden", name.replace("_", "-")))
    return tensors + readout(classes, width)


FACTS = TransformerFacts(
    Measured(gradient=1.2, slope=1.0, calls=(80, 70), efficiency=0.45, traffic=16),
    # Tokens at other places are all but uncorrelated inputs, and the law of large widths sets in where the width is large
    # against their number.
    CoordinateCheck(batch=4, seeds=5, smallest=48, context=8),
)
