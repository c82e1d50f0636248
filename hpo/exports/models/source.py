"""The models of an exported torch file: each family written out in plain torch, with the plan's dials in it. No torch here.

They compute what ``hpo.families`` computes, with the same tensor names. Multipliers are attached to the finished
model: each scales what goes into a layer, or what comes out of an embedding, so that a bias beside it stays as it is.
"""

from string import Template

from hpo.exports.tables import dictionary, multipliers
from hpo.families.facts.resnet import KERNEL, stem_size
from hpo.families.facts.transformer import EXPANSION
from windtunnel.types.following import dropout_labels, followed
from windtunnel.types.plans import TransferPlan

NONLINEARITY = {"relu": "functional.relu", "gelu": "functional.gelu", "tanh": "torch.tanh"}


def model_source(plan: TransferPlan) -> str:
    """Source of the model's constants, of what it is made of, and of ``build_model``.

    A module of the user's own is not written out: ``build_model`` takes it.
    """
    noises, own = plan.regularization, plan.model.family == "module"
    parts = [_constants(plan)]
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
    if not own:
        parts += [_NORMALISED] if plan.model.family != "mlp" else []
        parts.append(_model(plan))
    scaled = multipliers(plan)
    if scaled:
        told = "# Tensor -> factor on what it contributes to the forward pass, where that is not 1\n"
        parts.append(f"{told}{dictionary('MULTIPLIERS', scaled)}\n\n\n{ATTACH}")
    built = "module" if own else f"{NAMES[plan.model.family]}()"
    if scaled:
        built = f"attach_multipliers({built})"
    return "\n\n\n".join([*parts, _own(plan, built) if own else _BUILD.substitute(built=built)])


def _own(plan: TransferPlan, built: str) -> str:
    hooked = _NOISY if plan.regularization.input_noise is not None else ""
    return _BUILD_OWN.substitute(built=built, noise=hooked)


NAMES = {"mlp": "MLP", "resnet": "ResNet", "transformer": "Transformer"}


def _constants(plan: TransferPlan) -> str:
    lines = [f"WIDTH, DEPTH, CLASSES = {plan.width}, {plan.depth}, {plan.classes}"]
    if plan.model.family == "module":
        return lines[0]
    task = plan.info
    if plan.model.family == "resnet" and task.image is not None:
        lines.append(f"CHANNELS, HEIGHT, BREADTH = {', '.join(map(str, task.image))}")
    elif plan.model.family == "transformer":
        lines.append(f"CONTEXT, D_HEAD = {plan.features}, {plan.model.head}")
        lines.append(f"ATTENTION_MULTIPLIER = {1.0 if plan.attention_multiplier is None else plan.attention_multiplier!r}")
    else:
        lines.append(f"FEATURES = {plan.features}")
    return "\n".join(lines)


def _model(plan: TransferPlan) -> str:
    terms = plan.regularization
    task = plan.info
    kernel, stride = stem_size(task.image) if task.image is not None else (1, 1)

    def dropped(value: str) -> str:
        if terms.layer_dropout:
            return f"dropout({value}, self.training, index)"
        return value if terms.dropout is None else f"dropout({value}, self.training)"

    def each(name: str, stack: str) -> str:
        return f"index, {name} in enumerate(self.{stack})" if terms.layer_dropout else f"{name} in self.{stack}"

    def noisy(value: str) -> str:
        value = value if terms.augmentation is None else f"augmented({value}, self.training)"
        return value if terms.input_noise is None else f"input_noise({value}, self.training)"

    activation = NONLINEARITY[plan.model.activation]
    match plan.model.family:
        case "mlp":
            return _MLP.substitute(
                each=each("layer", "layers"), inputs=noisy("inputs"), hidden=dropped(f"{activation}(layer(hidden))")
            )
        case "resnet":
            return _RESNET.substitute(
                each=each("block", "blocks"),
                inputs=noisy("inputs"),
                between=dropped(f"{activation}(normalised(branch, 3))"),
                activation=activation,
                kernel=KERNEL,
                stem=f"{kernel}, {stride}, padding={kernel // 2 if stride == 1 else 0}",
            )
        case "transformer":
            return _TRANSFORMER.substitute(
                each=each("block", "blocks"),
                embeddings=noisy("tokens + positions"),
                attention=dropped("block.attention_out(attention(block.qkv(normalised(hidden, 1))))"),
                mlp=dropped(f"block.mlp_out({activation}(block.mlp_in(normalised(hidden, 1))))"),
                expansion=EXPANSION,
            )
        case "module":
            raise ValueError("a module of one's own is not written out: build_model takes it")


def _moved(plan: TransferPlan, argument: str, label: str) -> str:
    """A line that moves a regulariser along its schedule; nothing where it stands still."""
    return f'    {argument} = {argument} * factor("{label}")\n' if label in followed(plan) else ""


def _layer_dropout(plan: TransferPlan) -> str:
    """Source of the rates, of the labels that move them where they move, and of ``dropout``."""
    rates: dict[int, float] = dict(enumerate(plan.regularization.layer_dropout.values()))
    lines = [dictionary("DROPOUT", rates)]
    labels = {index: label for index, label in enumerate(dropout_labels(plan)) if label in followed(plan)}
    if labels:
        lines += ["", "# Layer -> whose factors move its rate", dictionary("DROPOUT_FACTORS", labels)]
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
    """Matrices that read a line of pixels so far along, as a sum of cosines, mirrored at its ends: [batch, size, size]."""
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

ATTACH = '''def scale_input(factor, layer, inputs):
    """Forward pre-hook of a layer."""
    return (inputs[0] * factor,)


def scale_output(factor, layer, inputs, output):
    """Forward hook of an embedding, whose inputs are indices."""
    return output * factor


def attach_multipliers(model):
    """Scale a layer's input by the multiplier of its weight: that scales the weight's gradient, too, but not a bias."""
    for name, factor in MULTIPLIERS.items():
        path, _, attribute = name.rpartition(".")
        layer = model.get_submodule(path)
        if attribute == "weight" and isinstance(layer, nn.Embedding):
            layer.register_forward_hook(partial(scale_output, factor))
        elif attribute == "weight" and isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            layer.register_forward_pre_hook(partial(scale_input, factor))
        else:
            raise TypeError(f"{name} has multiplier {factor:g}, which no hook of a {type(layer).__name__} can give it")
    return model'''
"""Source that attaches MULTIPLIERS to a model of these tensor names."""

_BUILD = Template('''def build_model():
    """The model, not yet initialised."""
    return $built''')

_BUILD_OWN = Template('''def build_model(module):
    """Your module of width WIDTH and depth DEPTH with the plan's multipliers, not yet initialised; call it once."""$noise
    return $built''')

_NOISY = """
    module.register_forward_pre_hook(lambda layer, inputs: (input_noise(inputs[0], layer.training),))"""

_MLP = Template('''class MLP(nn.Module):
    """DEPTH hidden layers of WIDTH units and a linear readout."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(FEATURES if index == 0 else WIDTH, WIDTH) for index in range(DEPTH)
        )
        self.readout = nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs):
        """Outputs [batch, CLASSES] of inputs [batch, FEATURES]."""
        hidden = $inputs
        for $each:
            hidden = $hidden
        return self.readout(hidden)''')

_RESNET = Template('''class Block(nn.Module):
    """The two convolutions of a residual block."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(WIDTH, WIDTH, $kernel, padding=$kernel // 2, bias=False)
        self.second = nn.Conv2d(WIDTH, WIDTH, $kernel, padding=$kernel // 2, bias=False)


class ResNet(nn.Module):
    """A convolution stem, DEPTH residual blocks of WIDTH channels, mean over positions, linear readout."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(CHANNELS, WIDTH, $stem, bias=False)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.readout = nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs):
        """Outputs [batch, CLASSES] of flattened images [batch, CHANNELS * HEIGHT * BREADTH]."""
        pixels = $inputs
        hidden = self.stem(pixels.reshape(-1, CHANNELS, HEIGHT, BREADTH))
        for $each:
            branch = block.first($activation(normalised(hidden, 3)))
            hidden = hidden + block.second($between)
        pooled = normalised($activation(normalised(hidden, 3)).mean((2, 3)), 1)
        return self.readout(pooled)''')

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
