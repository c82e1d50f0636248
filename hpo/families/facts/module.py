"""Facts of a module of one's own: a table that its task brings answers for it. Imports no torch."""

from hpo.families.facts.family import CoordinateCheck, FamilyFacts, Footprint, Measured
from windtunnel.types.model import ModelSpec
from windtunnel.types.modules import ModuleInfo
from windtunnel.types.results import TensorFacts
from windtunnel.types.tasks import TaskInfo


class ModuleFacts(FamilyFacts):
    """Any ``torch.nn.Module``, described at two widths by ``ModuleInfo``."""

    def tensors(self, model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
        """The tensors of the table, on the lines through both of its widths."""
        return table(task).tensors_at(model.width, model.depth)

    def footprint(self, model: ModelSpec, task: TaskInfo) -> Footprint:
        """Numbers of one example, by power laws through both widths; passes without a graph count as much, unmeasured."""
        known = table(task)
        saved = known.saved_at(model.width, model.depth)
        return Footprint(saved=saved, live=saved, multiply_adds=known.multiply_adds_at(model.width, model.depth))

    def check_step(self, model: ModelSpec) -> int:
        """The proxy's width: which other widths the module can have is not known, and multiples are the safest guess."""
        return model.width

    def check_work(self, model: ModelSpec, task: TaskInfo, parameters: int) -> int:  # noqa: ARG002
        """Multiply-adds of a forward pass of whole examples."""
        return table(task).multiply_adds_at(model.width, model.depth) * self.check.batch


def table(task: TaskInfo) -> ModuleInfo:
    """The table of the module that the task brings.

    Raises:
        ValueError: it brings none.
    """
    if task.module is None:
        raise ValueError(f"task {task.name!r} brings no module of its own")
    return task.module


FACTS = ModuleFacts(
    Measured(gradient=1.9, slope=1.7, calls=(80, 70), efficiency=0.3, traffic=16),
    CoordinateCheck(batch=16, seeds=5, smallest=64),
)
