"""Which regularisers of a plan move over the run, and by whose factors."""

from windtunnel.types.plans import TransferPlan


def followed(plan: TransferPlan) -> dict[str, list[float]]:
    """Label -> factors over the run, of the regularisers that a plan moves; empty where it holds them."""
    knots = plan.regulariser_schedule
    return knots.factors if knots is not None and knots.pays else {}


def dropout_labels(plan: TransferPlan) -> list[str]:
    """The label whose factors move the dropout of each layer of a plan that has a rate for each."""
    layers = plan.model.layers
    return [f"dropout.{layers[min(index, len(layers) - 1)]}" for index in range(plan.depth)]


def label_of(plan: TransferPlan, name: str, role: str, group: str | None) -> str | None:
    """The label whose factors move the L2 of a tensor; None where it stands still.

    Tensor before group, group before role, role before global.
    """
    labels = followed(plan)
    candidates = (f"l2.{name}", f"l2.{group}" if group else "", f"l2.{role}", "l2")
    return next((label for label in candidates if label in labels), None)
