"""The family of modules of one's own."""

from collections.abc import Sequence

from hpo.families.facts.registry import proxy_tensors
from hpo.families.family import Family
from hpo.families.own.following import refuse_left_behind
from hpo.families.own.liveness import check_that_gradients_arrive
from hpo.families.own.own_loss import check_loss
from hpo.families.own.probing import probe
from hpo.families.own.user_module import build_module
from hpo.families.proxy import Proxy
from hpo.tasks.split import Parts
from windtunnel.types import JobSpec
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


class ModuleFamily(Family):
    """Any ``torch.nn.Module`` that a task brings."""

    def build(self, model: ModelSpec, task: TaskInfo) -> Proxy:
        """Module that the task builds at that width and depth."""
        return build_module(model, task)

    def prepare(self, spec: JobSpec, parts: Parts) -> None:
        """Try the module on a few examples, its loss on some of every label, and its first steps: see the three checks."""
        probe(spec.model, spec.info, parts[0])
        check_loss(spec, parts)
        check_that_gradients_arrive(spec.model, spec.info, proxy_tensors(spec.model, spec.info), parts[0])

    def follow(self, model: Proxy, shapes: Sequence[tuple[int, ...]], task: TaskInfo) -> None:
        """Try the module where it meets no tensor of the CPU."""
        refuse_left_behind(model, shapes, task)


FAMILY = ModuleFamily()
