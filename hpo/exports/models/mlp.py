"""Source of the multilayer perceptron, for exported files. Imports no torch."""

from string import Template

from hpo.exports.models.model import NONLINEARITY, ModelSource, dropped, each, noisy
from windtunnel.types.plans import TransferPlan


class MLPSource(ModelSource):
    """Source of a model that computes the same outputs as ``hpo.families.mlp.MLP``."""

    name = "MLP"

    def constants(self, plan: TransferPlan) -> list[str]:
        """Line that sets ``FEATURES``."""
        return [f"FEATURES = {plan.features}"]

    def source(self, plan: TransferPlan) -> str:
        """Source of the class ``MLP``."""
        hidden = f"{NONLINEARITY[plan.model.activation]}(layer(hidden))"
        return _MLP.substitute(
            each=each(plan, "layer", "layers"), inputs=noisy(plan, "inputs"), hidden=dropped(plan, hidden)
        )


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

MODEL = MLPSource()
