"""Facts of the Llama family. Imports no torch."""

from hpo.families.facts.family import CoordinateCheck, FamilyFacts, Footprint, Measured, check_sizes, fact
from windtunnel.types.model import ModelSpec
from windtunnel.types.results import TensorFacts
from windtunnel.types.tasks import TaskInfo

EPSILON = 1e-5
"""Added to the mean square by every norm, as Llama 2 and 3 do."""
LARGE = 2**17
"""Floats of a layer's output for one batch, above which more members at once only leave the caches."""
GAIN, ONE_A_HEAD = "norm", "head-norm"
"""Groups of the gains of norms: one for each unit of the width, and one for each entry of a head."""


def mlp_units(width: int, multiple_of: int) -> int:
    """Units of the MLP of a block: int(8/3 width), rounded up to a multiple."""
    return -(-(8 * width // 3) // multiple_of) * multiple_of


class LlamaFacts(FamilyFacts):
    """A token embedding, ``depth`` blocks of grouped-query attention and SwiGLU, and a readout without a bias."""

    def tensors(self, model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
        """Tensors in the order of the module's ``named_parameters``; n is ``mlp_units``, r ``gqa_ratio``.

        ``token_embedding.weight`` [classes, width]; of each block ``q.weight`` [width, width], ``k.weight``, ``v.weight``
        [width / r, width], ``o.weight`` [width, width], ``gate.weight`` and ``up.weight`` [n, width], ``down.weight``
        [width, n], with gains also ``attention_norm.weight`` and ``mlp_norm.weight`` [width], and with ``qk_norm``
        ``q_norm.weight`` and ``k_norm.weight`` [d_head]; ``norm.weight`` [width] with gains; ``readout.weight``
        [classes, width].

        Raises:
            ValueError: a size is below 1, or the width cuts a head or a group of heads.
        """
        width, classes, chosen = model.width, task.classes, model.options
        check_sizes("a Llama", context=task.features, classes=classes, width=width, depth=model.depth)
        check_width(width, model.head, chosen.gqa_ratio)
        units = mlp_units(width, chosen.multiple_of)
        tensors = [fact("token_embedding.weight", [classes, width], "input")]
        keys = [width // chosen.gqa_ratio, width]
        shapes = {
            "q": [width, width],
            "k": keys,
            "v": keys,
            "o": [width, width],
            "gate": [units, width],
            "up": [units, width],
            "down": [width, units],
        }
        for index in range(model.depth):
            tensors += [fact(f"blocks.{index}.{name}.weight", shape, "hidden", name) for name, shape in shapes.items()]
            if chosen.norm_gains:
                tensors += [_gain(f"blocks.{index}.{name}.weight", width) for name in ("attention_norm", "mlp_norm")]
            if chosen.norm_gains and chosen.qk_norm:
                tensors += [_head_gain(f"blocks.{index}.{name}.weight", model.head) for name in ("q_norm", "k_norm")]
        tensors += [_gain("norm.weight", width)] if chosen.norm_gains else []
        return [*tensors, fact("readout.weight", [classes, width], "output")]

    def footprint(self, model: ModelSpec, task: TaskInfo) -> Footprint:
        """Numbers of one forward pass of an example: matrices but the embedding, and the context, count at each token."""
        width, depth, classes, context, chosen = model.width, model.depth, task.classes, task.features, model.options
        units, keys = mlp_units(width, chosen.multiple_of), width // chosen.gqa_ratio
        weights = 3 * width // model.head * context
        block = 6 * width + 2 * keys + 4 * units + weights
        if chosen.norm_gains:
            block += 2 * width
        if chosen.qk_norm:
            block += (width + keys) * (2 if chosen.norm_gains else 1)
        live = 4 * width + 2 * keys + 3 * units + 5 * width // model.head * context + classes
        matrices = depth * (2 * width * (width + keys) + 3 * width * units) + width * classes
        used = matrices + 2 * depth * context * width
        return Footprint(
            saved=context * (3 * width + depth * block + 3 * classes), live=context * live, multiply_adds=context * used
        )

    def context_products(self, model: ModelSpec, task: TaskInfo) -> int:
        """Multiply-adds of one of the two products over the context, a token: context * width in each block."""
        return model.depth * task.features * model.width

    def members_together(self, model: ModelSpec, task: TaskInfo, batch: int) -> int | None:
        """Members whose largest layer's outputs together stay below ``LARGE``, at least one."""
        widest = max(mlp_units(model.width, model.options.multiple_of), model.width // model.head * task.features)
        return max(1, LARGE // (batch * task.features * widest))


def check_width(width: int, d_head: int, gqa_ratio: int) -> None:
    """Raise ValueError where the width cuts a head, or a group of heads that share keys and values."""
    if width % (d_head * gqa_ratio):
        raise ValueError(f"width {width} of a Llama is no multiple of d_head {d_head} times gqa_ratio {gqa_ratio}")


def _gain(name: str, width: int) -> TensorFacts:
    """Gain of a norm over the width: one number a unit, 1 at the start."""
    return TensorFacts(name=name, shape=[width], role="vector", group=GAIN, init_value=1.0)


def _head_gain(name: str, d_head: int) -> TensorFacts:
    """Gain of a norm over a head, which is the same size at every width; 1 at the start."""
    return TensorFacts(name=name, shape=[d_head], role="scalar", group=ONE_A_HEAD, init_value=1.0)


FACTS = LlamaFacts(
    Measured(gradient=1.9, slope=1.7, calls=(80, 110), efficiency=0.3, traffic=16),
    # Tokens that look alike are coherent where there are many against the width; matrices of keys and values are narrower
    # than the width. So few tokens.
    CoordinateCheck(batch=2, seeds=5, smallest=48, context=8),
)
