"""A user's own module in exported files: ``build_model`` takes it as an argument, and no source is written. No torch."""

from pprint import pformat
from string import Template

from hpo.exports.models.model import ModelSource, attached
from windtunnel.types.plans import TransferPlan


class GivenModule(ModelSource):
    """The module that the user of the file passes to ``build_model``."""

    name = "module"
    call = "build_model(YourModule(WIDTH, DEPTH))"
    outputs = "logits(model(inputs))"

    def constants(self, plan: TransferPlan) -> list[str]:  # noqa: ARG002
        """An empty list: the sizes inside of the module are not known."""
        return []

    def source(self, plan: TransferPlan) -> str:  # noqa: ARG002
        """Source of ``logits``: a model of Hugging Face answers with a record, and the user has the module's own source."""
        return _LOGITS

    def build(self, plan: TransferPlan, *, scaled: bool) -> str:
        """Source of ``build_model``, which takes a module and adds the plan's noise to its inputs."""
        noise = _NOISY if plan.regularization.input_noise is not None else ""
        frozen = {row.name for row in plan.tensors if row.is_frozen}
        return _BUILD.substitute(
            built=attached("module") if scaled else "module", noise=noise, frozen=pformat(frozen or (), width=1000)
        )


_LOGITS = '''def logits(outputs):
    """What a module gives, or the logits in it where that is a record, as of a model of Hugging Face."""
    return getattr(outputs, "logits", outputs)'''

_BUILD = Template('''def build_model(module):
    """Your module of width WIDTH and depth DEPTH with the plan's multipliers, not yet initialised; call it once."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    planned = set($frozen)
    if frozen != planned:
        raise ValueError(f"frozen in the module are {sorted(frozen)}; in the plan {sorted(planned)}")$noise
    return $built''')

_NOISY = """
    module.register_forward_pre_hook(lambda layer, inputs: (input_noise(inputs[0], layer.training),))"""

MODEL = GivenModule()
