"""Writes the model of an exported torch file in plain torch, with the plan's regularisers and multipliers. No torch here.

The model computes the same outputs as in ``hpo.families``, with the same tensor names. Multipliers are attached to the
finished model: each scales the input of a layer, or the output of an embedding, so that the layer's bias is not scaled.
"""

from string import Template

from hpo.exports.models.registry import model_of
from hpo.exports.tables import dictionary, multipliers
from windtunnel.types.following import dropout_labels, followed
from windtunnel.types.plans import TransferPlan


def model_source(plan: TransferPlan) -> str:
    """Source of the model's constants, functions and classes, and of ``build_model``.

    Raises:
        Refused: models of the plan's family cannot be written out.
    """
    model, noises = model_of(plan.model.family), plan.regularization
    sizes = f"WIDTH, DEPTH, CLASSES = {plan.width}, {plan.depth}, {plan.classes}"
    parts = ["\n".join([sizes, *model.constants(plan)])]
    if noises.dropout is not None:
        parts.append(_DROPOUT.substitute(rate=repr(noises.dropout), moved=_moved(plan, "rate", "dropout")))
    if noises.layer_dropout:
        parts.append(_layer_dropout(plan))
    if noises.input_noise is not None:
        parts.append(
            _INPUT_NOISE.substitute(deviation=repr(noises.input_noise), moved=_moved(plan, "deviation", "input_noise"))
        )
    if noises.augmentation is not None:
        parts.append(
            _AUGMENTATION.substitute(
                distance=repr(noises.augmentation),
                moved=_moved(plan, "distance", "augmentation"),
                image=plan.info.image,
            )
        )
    parts += [_NORMALISED] if model.normalises else []
    parts += [source] if (source := model.source(plan)) else []
    scaled = multipliers_source(plan)
    return "\n\n\n".join([*parts, *([scaled] if scaled else []), model.build(plan, scaled=bool(scaled))])


def multipliers_source(plan: TransferPlan) -> str:
    """Source of MULTIPLIERS and of ``attach_multipliers``; empty if every multiplier is 1."""
    scaled = multipliers(plan)
    told = "# Tensor -> factor on it in the forward pass, if it is not 1\n"
    return f"{told}{dictionary('MULTIPLIERS', scaled)}\n\n\n{ATTACH}" if scaled else ""


def _moved(plan: TransferPlan, argument: str, label: str) -> str:
    """Line that multiplies a regulariser by its schedule's factor; empty if it has no schedule."""
    return f'    {argument} = {argument} * factor("{label}")\n' if label in followed(plan) else ""


def _layer_dropout(plan: TransferPlan) -> str:
    """Source of ``dropout``, of the rates of the layers, and of the labels of the rates that follow a schedule."""
    rates: dict[int, float] = dict(enumerate(plan.regularization.layer_dropout.values()))
    lines = [dictionary("DROPOUT", rates)]
    labels = {index: label for index, label in enumerate(dropout_labels(plan)) if label in followed(plan)}
    if labels:
        lines += ["", "# Layer -> regulariser whose factors multiply its rate", dictionary("DROPOUT_FACTORS", labels)]
    moved = "    rate = rate * factor(DROPOUT_FACTORS[layer])\n" if labels else ""
    return "\n".join(["# Layer or block -> rate of its dropout", *lines, "", "", _LAYER_DROPOUT.substitute(moved=moved)])


_LAYER_DROPOUT = Template('''def dropout(hidden, training, layer):
    """Multiplicative Gaussian noise with the mean and variance of dropout at the layer's rate, while training."""
    if not training:
        return hidden
    rate = DROPOUT[layer]
$moved    return hidden * (1 + math.sqrt(rate / (1 - rate)) * torch.randn_like(hidden))''')

_DROPOUT = Template('''def dropout(hidden, training, rate=$rate):
    """Multiplicative Gaussian noise with the mean and variance of dropout at that rate, while training."""
    if not training:
        return hidden
$moved    return hidden * (1 + math.sqrt(rate / (1 - rate)) * torch.randn_like(hidden))''')

_INPUT_NOISE = Template('''def input_noise(inputs, training, deviation=$deviation):
    """Gaussian noise on the inputs, while training."""
$moved    return inputs + deviation * torch.randn_like(inputs) if training else inputs''')

_AUGMENTATION = Template('''def interpolation(offsets, size):
    """Matrices [batch, size, size] that shift a line of pixels by offsets: a sum of cosines, mirrored at its ends."""
    pixels = torch.arange(size, dtype=offsets.dtype, device=offsets.device)
    waves = math.pi / size * pixels
    basis = torch.cos(waves[:, None] * (pixels + 0.5)) * (2 / size)
    basis[0] /= 2
    return torch.cos((pixels + 0.5 + offsets[:, None])[:, :, None] * waves) @ basis


def augmented(inputs, training, distance=$distance):
    """Images shifted by normally distributed distances in pixels, while training."""
    if not training:
        return inputs
$moved    channels, height, breadth = $image
    offsets = distance * torch.randn(len(inputs), 2, dtype=inputs.dtype, device=inputs.device)
    rows, columns = interpolation(offsets[:, 0], height), interpolation(offsets[:, 1], breadth)
    moved = rows[:, None] @ inputs.reshape(-1, channels, height, breadth) @ columns[:, None].mT
    return moved.reshape(inputs.shape)''')

_NORMALISED = '''def normalised(hidden, dimensions):
    """Mean 0 and variance 1 over the last dimensions of each example, without gain or bias."""
    return functional.layer_norm(hidden, hidden.shape[-dimensions:])'''

ATTACH = '''CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, *CONVOLUTIONS, nn.Embedding)


def scale_input(factor, layer, inputs):
    """Forward pre-hook that multiplies the input of a layer."""
    return (inputs[0] * factor, *inputs[1:])


def scale_output(factor, layer, inputs, output):
    """Forward hook that multiplies the output of an embedding, whose inputs are indices."""
    return output * factor


@torch.no_grad()
def raw_weight(value, factor):
    """The weight that times factor is value: bit for bit if there is one, else to rounding."""
    found = below = above = value / factor
    for _ in range(2):
        below = torch.nextafter(below, torch.full_like(below, -math.inf))
        above = torch.nextafter(above, torch.full_like(above, math.inf))
        for other in (below, above):
            found = torch.where((found * factor != value) & (other * factor == value), other, found)
    return found


@torch.no_grad()
def take_up(factor, layer, *given):
    """Hook before a layer is called or saved: what was written into its last state dict is written into its weight."""
    if not torch.compiler.is_compiling():
        saved = layer.__dict__.pop("saved_weight", None)
        if saved is not None and saved._version > 0:
            layer.weight.copy_(raw_weight(saved, factor))


def save_effective(factor, layer, state, prefix, metadata):
    """Hook after a state dict is made: it has the weight times its multiplier, for models without multipliers."""
    state[f"{prefix}weight"] = state[f"{prefix}weight"] * factor
    layer.__dict__["saved_weight"] = state[f"{prefix}weight"]


def load_effective(factor, layer, state, prefix, metadata, strict, missing, unexpected, errors):
    """Hook before weights are loaded: divides them by the multiplier. Raw ones have theirs beside them."""
    value, saved = state.get(f"{prefix}weight"), state.pop(f"{prefix}windtunnel_multiplier", None)
    if value is None:
        return take_up(factor, layer)
    layer.__dict__.pop("saved_weight", None)
    if value is layer.weight or (saved is not None and saved.item() == torch.tensor(factor, dtype=saved.dtype).item()):
        return
    value = value if metadata.get("assign_to_params_buffers") else value.to(layer.weight.dtype)
    state[f"{prefix}weight"] = raw_weight(value if saved is None else value * saved.item(), factor)


def check_multiplier(factor, layer, state, prefix, metadata, strict, missing, unexpected, errors):
    """Hook before weights are loaded whose multiplier is no factor of them: they are to have the same one beside them."""
    saved = state.get(f"{prefix}windtunnel_multiplier")
    if saved is None and f"{prefix}weight" in state:
        errors.append(f"{prefix}weight was saved without a multiplier, and here it is {factor:g}, which is no factor of it")
    elif saved is not None and saved.item() != torch.tensor(factor, dtype=saved.dtype).item():
        errors.append(f"{prefix}weight was saved with multiplier {saved.item():g}, and here it is {factor:g}")


def is_factor(model, layer):
    """Whether a layer computes the same without its multiplier if its weight is multiplied by it instead."""
    holders = [value for _, value in model.named_parameters(remove_duplicate=False) if value is layer.weight]
    others = {name for name, _ in layer.named_parameters()} - {"weight", "bias"}
    torch_forward = type(layer).forward in [kind.forward for kind in LAYERS] or type(layer).__name__ == "Conv1D"
    plain = torch_forward and getattr(layer, "max_norm", None) is None
    return plain and len(holders) == 1 and not others


def attach_multipliers(model):
    """Scales a layer's input by the multiplier of its weight: that scales the weight's gradient, too, but not a bias.

    A state dict of the model has the weights times their multipliers, so that one without them loads it and computes the
    same; load_state_dict of this model divides by them. A multiplier that is no factor of its weight (a shared one, an
    embedding's with max_norm, that of a layer with a forward of its own) is saved beside it, which others refuse to load.
    """
    for name, factor in MULTIPLIERS.items():
        path, _, attribute = name.rpartition(".")
        layer = model.get_submodule(path)
        if attribute != "weight" or not (isinstance(layer, LAYERS) or type(layer).__name__ == "Conv1D"):
            raise TypeError(f"{name} has multiplier {factor:g}, which no hook of a {type(layer).__name__} can give it")
        if is_factor(model, layer):
            layer.register_forward_pre_hook(partial(take_up, factor))
            layer.register_state_dict_pre_hook(partial(take_up, factor))
            layer._register_state_dict_hook(partial(save_effective, factor))
            layer.register_load_state_dict_pre_hook(partial(load_effective, factor))
        else:
            layer.register_buffer("windtunnel_multiplier", torch.full((), factor, device=layer.weight.device))
            layer.register_load_state_dict_pre_hook(partial(check_multiplier, factor))
        if isinstance(layer, nn.Embedding):
            layer.register_forward_hook(partial(scale_output, factor))
        else:
            layer.register_forward_pre_hook(partial(scale_input, factor))
    return model'''
"""Source that attaches MULTIPLIERS to a model of these tensor names, in its forward passes and in its state dicts."""
