"""Source of the residual network, for exported files. Imports no torch."""

from string import Template

from hpo.exports.models.model import NONLINEARITY, ModelSource, dropped, each, noisy
from hpo.families.facts.resnet import KERNEL, image_of, stem_size
from windtunnel.types.plans import TransferPlan


class ResNetSource(ModelSource):
    """Source of a model that computes the same outputs as ``hpo.families.resnet.ResNet``."""

    name = "ResNet"
    normalises = True

    def constants(self, plan: TransferPlan) -> list[str]:
        """Line that sets ``CHANNELS``, ``HEIGHT`` and ``BREADTH`` of an image."""
        return [f"CHANNELS, HEIGHT, BREADTH = {', '.join(map(str, image_of(plan.info)))}"]

    def source(self, plan: TransferPlan) -> str:
        """Source of the classes ``Block`` and ``ResNet``."""
        activation = NONLINEARITY[plan.model.activation]
        kernel, stride = stem_size(image_of(plan.info))
        return _RESNET.substitute(
            each=each(plan, "block", "blocks"),
            inputs=noisy(plan, "inputs"),
            between=dropped(plan, f"{activation}(normalised(branch, 3))"),
            activation=activation,
            kernel=KERNEL,
            stem=f"{kernel}, {stride}, padding={kernel // 2 if stride == 1 else 0}",
        )


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

MODEL = ResNetSource()
