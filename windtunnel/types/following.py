"""Labels and factors of the regularisers that follow a schedule over the run of a plan."""

from windtunnel.types.plans import TransferPlan


def followed(plan: TransferPlan) -> dict[str, list[float]]:
    """Label -> factors over the run, of the regularisers that follow a plan's schedule; empty where all are constant."""
    knots = plan.regulariser_schedule
    return knots.factors if knots is not None and knots.pays else {}


def dropout_labels(plan: TransferPlan) -> list[str]:
    """Label of the schedule that each layer's dropout follows, in a plan with a rate for each layer; one entry a layer."""
    layers = plan.model.layers
    return [f"dropout.{layers[min(index, len(layers) - 1)]}" for index in range(plan.depth)]


def label_of(plan: TransferPlan, name: str, role: str, group: str | None) -> str | None:
    """Label of the schedule that the L2 penalty of a tensor follows; None where it is constant.

    A label of the tensor comes before one of its group, that before one of its role, that before the global one.
    """
    labels = followed(plan)
    candidates = (f"l2.{name}", f"l2.{group}" if group else "", f"l2.{role}", "l2")
    return next((label for label in candidates if label in labels), None)
