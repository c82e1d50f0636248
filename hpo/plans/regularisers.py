"""The schedule of the regularisers in a plan: factors on the plan's values, and a sentence on their use. No torch here."""

from hpo.plans.findings import Findings
from windtunnel.types.responses import RegulariserKnots


def regulariser_knots(findings: Findings) -> RegulariserKnots | None:
    """The schedule of the regularisers as factors on the tuned values; None if they are constant.

    It comes from the spec, relative to its last values, or from the job's best response. The rule that carries a value to
    another size also carries its schedule, because the schedule holds factors.
    """
    given = findings.spec.regularization.schedule
    if given:
        count = len(next(iter(given.values())))
        times = [knot / (count - 1) for knot in range(count)]
        lines = {label: [value / line[-1] for value in line] for label, line in given.items()}
        return RegulariserKnots(times=times, factors=lines, pays=True)
    report, values = findings.best_response, findings.values
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


def follow(findings: Findings, knots: RegulariserKnots | None) -> list[str]:
    """A sentence on the schedule for the author of the training loop; [] without a schedule."""
    if knots is None:
        return []
    if findings.best_response is None:
        return [
            f"Schedule of the regularisers ({', '.join(knots.factors)}): multiply each by its factor over the run, as "
            f"every run of the job did (regulariser_schedule in the plan, {len(knots.times)} knots with straight lines "
            "between)."
        ]
    compared = findings.best_response.comparison
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
