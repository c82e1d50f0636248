"""A module of one's own in exported files: it is not written out, and ``build_model`` takes it. Imports no torch."""

from string import Template

from hpo.exports.models.model import ModelSource, attached
from windtunnel.types.plans import TransferPlan


class GivenModule(ModelSource):
    """The module that the file's user hands in."""

    name = "module"
    call = "build_model(YourModule(WIDTH, DEPTH))"

    def constants(self, plan: TransferPlan) -> list[str]:  # noqa: ARG002
        """No constants: a module's inside is not known."""
        return []

    def source(self, plan: TransferPlan) -> str:  # noqa: ARG002
        """Nothing: the module's source is its user's."""
        return ""

    def build(self, plan: TransferPlan, *, scaled: bool) -> str:
        """``build_model`` of a module, with the plan's noise on its inputs."""
        noise = _NOISY if plan.regularization.input_noise is not None else ""
        return _BUILD.substitute(built=attached("module") if scaled else "module", noise=noise)


_BUILD = Template('''def build_model(module):
    """Your module of width WIDTH and depth DEPTH with the plan's multipliers, not yet initialised; call it once."""$noise
    return $built''')

_NOISY = """
    module.register_forward_pre_hook(lambda layer, inputs: (input_noise(inputs[0], layer.training),))"""

MODEL = GivenModule()
