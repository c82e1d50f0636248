"""A transfer plan that was made in this process, without a server."""

from typing import Self

from windtunnel.client._errors import InvalidRequest
from windtunnel.client._plan import Plan
from windtunnel.tasks.user import UserTaskInfo, user_task
from windtunnel.types import TransferPlan
from windtunnel.types.exports import ExportFormat


class LocalPlan(Plan):
    """A transfer plan that was made in this process."""

    def to(self, format: ExportFormat) -> str:  # noqa: A002 - the API's own name
        """The plan as text in an export format.

        Raises:
            PydanticCustomError: the format cannot express this plan; the message says why.
        """
        from hpo.exports.registry import export

        return export(self, format)

    @classmethod
    def fitting(cls, plan: TransferPlan, task: UserTaskInfo) -> Self:
        """A plan for a module of one's own, whose tensors are compared with those of the module of the target's size.

        Raises:
            InvalidRequest: the module of that size has other tensors than its table says.
        """
        from hpo.families.own.describing import differences

        own = user_task(task)
        shapes = {row.name: tuple(row.shape) for row in plan.tensors}
        odd = differences(own, plan.width, plan.depth, shapes, [row.name for row in plan.tensors if row.is_frozen])
        if odd:
            raise InvalidRequest(
                f"build({plan.width}, {plan.depth}) has other tensors than widths {own.width} and "
                f"{2 * own.width} lead to: {'; '.join(odd[:3])}. Sizes must grow in proportion to the width"
            )
        return cls.model_validate(plan.model_dump()).knowing(task)
