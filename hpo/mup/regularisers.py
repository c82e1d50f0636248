"""The schedule of the regularisers in a plan: factors on the plan's own values, and what to do with them. No torch here."""

from windtunnel.types.plans import TransferPlan
from windtunnel.types.responses import RegulariserKnots
from windtunnel.types.results import TuneResult


def regulariser_knots(result: TuneResult) -> RegulariserKnots | None:
    """The schedule of a job's best response over the tuned values; None where it trained none.

    Factors and not values: whatever rule carries a value to another size carries its schedule.
    """
    report, values = result.best_response, result.best.hyperparameters
    if report is None:
        return None
    factors = {
        label: [value / values[label] for value in line]
        for label, line in report.schedule.values.items()
        if label in values
    }
    compared = report.comparison
    pays = compared is not None and compared.gain_validation.mean > 0
    return RegulariserKnots(times=report.schedule.times, factors=factors, pays=pays)


def follow(result: TuneResult, knots: RegulariserKnots | None) -> list[str]:
    """A sentence on the schedule for whoever writes the loop; none where there is none."""
    if knots is None or result.best_response is None:
        return []
    compared = result.best_response.comparison
    found = ""
    if compared is not None:
        gain = compared.gain_validation
        found = (
            f" On {compared.seeds} fresh seeds of the proxy the schedule was {abs(gain.mean):.3g} ± {gain.stderr:.2g} nats "
            f"{'better' if gain.mean > 0 else 'worse'} on validation than its last values held."
        )
    advice = (
        "multiply each by its factor over the run"
        if knots.pays
        else "the plan holds them; to follow it all the same, multiply"
    )
    return [
        f"Schedule of the regularisers ({', '.join(knots.factors)}): {advice} (regulariser_schedule in the plan, "
        f"{len(knots.times)} knots with straight lines between).{found}"
    ]


def followed(plan: TransferPlan) -> dict[str, list[float]]:
    """Label -> factors over the run, of the regularisers that a plan's file moves; empty where it holds them."""
    knots = plan.regulariser_schedule
    return knots.factors if knots is not None and knots.pays else {}


def dropout_labels(plan: TransferPlan) -> list[str]:
    """The label whose factors move the dropout of each layer of a plan that has a rate for each."""
    last = plan.model.depth - 1
    return [f"dropout.{plan.model.layers[min(index, last)]}" for index in range(plan.depth)]


def label_of(plan: TransferPlan, name: str, role: str, group: str | None) -> str | None:
    """The label whose factors move the L2 of a tensor; None where it stands still.

    Tensor before group, group before role, role before global.
    """
    labels = followed(plan)
    candidates = (f"l2.{name}", f"l2.{group}" if group else "", f"l2.{role}", "l2")
    return next((label for label in candidates if label in labels), None)
