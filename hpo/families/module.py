"""The family of modules of one's own."""

from hpo.families.facts.registry import proxy_tensors
from hpo.families.family import Family
from hpo.families.liveness import check_that_gradients_arrive
from hpo.families.probing import probe
from hpo.families.proxy import Proxy
from hpo.families.user_module import build_module
from hpo.tasks import Split
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


class ModuleFamily(Family):
    """Any ``torch.nn.Module`` that a task brings."""

    def build(self, model: ModelSpec, task: TaskInfo) -> Proxy:
        """Module that the task builds at that width and depth."""
        return build_module(model, task)

    def prepare(self, model: ModelSpec, task: TaskInfo, train: Split) -> None:
        """Try the module and its loss on a few examples; the checks are those of ``probe`` and ``liveness``."""
        probe(model, task, train)
        check_that_gradients_arrive(model, task, proxy_tensors(model, task), train)


FAMILY = ModuleFamily()
