"""The budget of every search: its scouts, races, outer steps, last judgement and certificate. Imports no torch.

The searches do what these numbers say, and the estimate of a job (``hpo.sizing``) counts with the same ones.
"""

SHORT_SHARE, SHORTEST = 4, 20
"""Inner steps of a short run: one in so many of the run's, with the whole schedule squeezed into it; at least so many."""
LOOKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Early stopping: shares of the run at which the validation loss is looked at."""

SWEEP, SWEEP_FINALISTS = 16, 4
"""The scout of a named estimator: learning rates in short runs on one seed; points in full runs on all seeds."""
MORE_DECAY = (10.0, 100.0)
"""Either scout: factors on the weight decay of the best rate, each a point that is run in full."""
STARTS_SPREAD = 4
"""Several starts: points over the whole space that a short run judges, for each start but the first."""

RACE_LENGTHS = (0.3, 0.8, 2.0)
"""Largest coordinate of a candidate's move, in unconstrained units (one unit of a log coordinate is a factor e)."""
RACE_DIRECTIONS = 2
"""Directions of a race: the gradient, and how sure the seeds are of each coordinate's sign."""
RACERS, RACE_FINALISTS = RACE_DIRECTIONS * len(RACE_LENGTHS), 2
"""An outer step of a named estimator from one start: candidates on the first seed; the best of them on the others."""
LATEST, CHEAPEST = 3, 3
"""The last judgement: latest points of the leading start, and those of lowest loss, beside the start and the present."""
MOST_CANDIDATES = 2 + CHEAPEST + LATEST
"""Points of the last judgement from one start, at most."""

SURVEY_RATES, SURVEY_SPREAD, SURVEY_PER_DIMENSION = 8, 16, 4
"""The scout of the portfolio, in short runs on one seed: learning rates; points over the box, at most, and for each
dimension of a space of few."""
SURVEY = SURVEY_RATES + SURVEY_SPREAD
"""Points of its sweep and its spread together, at most."""
SURVEY_FINALISTS = 2
"""Best points of that scout that are run in full, beside the start, the consensus, more decay and the leaning point."""
SURVEYED = 2 + SURVEY_FINALISTS + len(MORE_DECAY)
"""Full runs of that scout, but for the leaning point."""
MOST_TILTED = 8
"""Rates that it raises and lowers one by one, at most: where there are more, the sampler looks for their ratios."""

GRADIENT_SEEDS = 2
"""Seeds differentiated in one outer step of the portfolio. One seed's gradient may point anywhere; two tell which signs
they agree on."""
RUNS_PER_GRADIENT = 5
"""Run-equivalents of one seed's gradient, at most, when it is asked whether the budget still pays for it."""
SAMPLED = 6
"""Points that the sampler proposes in one outer step, beside the consensus of the best."""
MOVE_LENGTHS = (0.4, 1.0)
"""Largest coordinate of a candidate's move along a gradient of the portfolio, over the width of the trust region."""
MOVE_FINALISTS = 2
"""Candidates along such a gradient that are run to their end in any case, where others may be ended early."""
PANEL_SHARE = 2
"""Most seeds of a duel, over those a job asks for. The more points were tried on few seeds, the luckier the best of them,
so that late in a long search a point must win over twice as many."""
RUNS_PER_SEED = 20
"""Run-equivalents after which a challenger must win over one seed more: cheap decisions early, sure ones later."""
EXPLORATION = 28.0
"""Run-equivalents, the scout's included, before the first gradient: it is worth most at the bottom of a good basin."""
LEAST_SHARE = 0.25
"""Share of the cost since the scout that each arm gets, whatever it gained: landscapes change as the search moves."""
FORMER = 3
"""The last judgement of the portfolio: former incumbents, beside the start and the present one."""
MOST_AUTO_CANDIDATES = 2 + FORMER
"""Points of that judgement, at most."""

QUALITY_POINTS, QUALITY_MEMBERS = 5, 2
"""Quality of a best response: the run's own schedule and four beside it; members that are trained again at each."""

CERTIFIED_STEPS, CERTIFIED_SHORTEST = 20, 2
"""Inner steps of the certificate's runs. Where differences do not settle, half as many are tried, down to the shortest."""
CERTIFIED_WIDTHS = (1.6e-5, 4e-6, 1e-6)
"""Half widths of the certificate's differences to begin with, in unconstrained units."""
CERTIFYING_RUNS = 2 * len(CERTIFIED_WIDTHS)
"""Runs that the certificate trains at a time: to both sides at each width."""


def short_steps(steps: int) -> int:
    """Inner steps of a short run of a job whose runs take ``steps``."""
    return min(steps, max(SHORTEST, -(-steps // SHORT_SHARE)))
