"""Counts of runs, points and seeds in every search: scout, races, outer steps, finish, certificate. Imports no torch.

The searches run by these numbers, and the estimate of a job (``hpo.sizing``) counts with the same ones.
"""

SHORT_SHARE, SHORTEST = 4, 20
"""A short run has one inner step for every ``SHORT_SHARE`` of a full run, and at least ``SHORTEST``. The whole schedule is
compressed into it."""
LOOKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Early stopping: shares of a run after which the validation loss is compared."""

SWEEP, SWEEP_FINALISTS = 16, 4
"""Scout of a named estimator: learning rates tried in short runs on one seed; points then run in full on all seeds."""
MORE_DECAY = (10.0, 100.0)
"""Scouts: factors on the weight decay at the best learning rate; each gives one more point that is run in full."""
STARTS_SPREAD = 4
"""Several starts: points, spread over the space, that short runs compare for each start after the first."""

RACE_LENGTHS = (0.3, 0.8, 2.0)
"""Largest coordinate of a candidate's move, in unconstrained units (one unit of a log coordinate is a factor e)."""
RACE_DIRECTIONS = 2
"""Number of directions in a race: the gradient, and its signal over noise across the seeds."""
RACERS, RACE_FINALISTS = RACE_DIRECTIONS * len(RACE_LENGTHS), 2
"""Race of a named estimator, in one outer step from one start: candidates on the first seed; the best of them that go on to
the other seeds."""
LATEST, CHEAPEST = 3, 3
"""Finish: number of latest points, and of points of lowest loss, from the leading start; the start and its present point
are added."""
MOST_CANDIDATES = 2 + CHEAPEST + LATEST
"""Most points that the finish compares from one start."""

SCOUT_RATES, SCOUT_SPREAD, SCOUT_PER_DIMENSION = 8, 16, 4
"""Scout of the portfolio, in short runs on one seed: learning rates; most points spread over the space; points for each
dimension, in a space of few dimensions."""
SCOUT_POINTS = SCOUT_RATES + SCOUT_SPREAD
"""Most points of the scout's sweep and spread together."""
SCOUT_FINALISTS = 2
"""Best points of the scout that are run in full. Further points are added: the start, the mean of the best, the points of
more decay, and the point that has the best value of each learning rate."""
SCOUT_FULL_RUNS = 2 + SCOUT_FINALISTS + len(MORE_DECAY)
"""Full runs of the scout, without the point that has the best value of each learning rate."""
MOST_PERTURBED_RATES = 8
"""Most learning rates that the scout raises and lowers one by one. A space with more leaves their ratios to the sampler."""

GRADIENT_SEEDS = 2
"""Seeds differentiated in one outer step of the portfolio. The gradient of one seed may point anywhere; two seeds show on
which signs they agree."""
RUNS_PER_GRADIENT = 5
"""Upper bound on the cost of one seed's gradient, in run-equivalents: no gradient is started if the budget left is
smaller."""
SAMPLED = 6
"""Points that the sampler proposes in one outer step; the means of the best points are added."""
MOVE_LENGTHS = (0.4, 1.0)
"""Largest coordinate of a candidate's move along a gradient of the portfolio, over the width of the trust region."""
MOVE_FINALISTS = 2
"""Candidates along a gradient of the portfolio that always run to the end; early stopping may end the others."""
PANEL_SHARE = 2
"""Most seeds on which a challenger is compared with the incumbent, over the seeds that the job asks for. The more points
were tried on few seeds, the luckier the best of them, so late in a long search a point must win on twice as many."""
RUNS_PER_SEED = 20
"""Run-equivalents after which a challenger must win on one more seed: cheap decisions early, reliable ones later."""
EXPLORATION = 28.0
"""Run-equivalents before the first gradient, those of the scout included. A gradient helps most at the bottom of a good
basin."""
LEAST_SHARE = 0.25
"""Smallest share of the cost since the scout that each arm gets, whatever it gained: landscapes change as the search
moves."""
FORMER = 3
"""Finish of the portfolio: number of former incumbents; the start and the incumbent are added."""
MOST_AUTO_CANDIDATES = 2 + FORMER
"""Most points that the finish of the portfolio compares."""

QUALITY_POINTS, QUALITY_MEMBERS = 5, 2
"""Check of a best response's predictions: points (the run's own schedule and four beside it), and members that are trained
again at each."""

CERTIFIED_STEPS, CERTIFIED_SHORTEST = 20, 2
"""Inner steps of the certificate's runs, and their smallest number: if the differences do not settle, it is halved down to
that."""
CERTIFIED_WIDTHS = (1.6e-5, 4e-6, 1e-6)
"""Half widths that the certificate's differences begin with, in unconstrained units."""
CERTIFYING_RUNS = 2 * len(CERTIFIED_WIDTHS)
"""Runs that the certificate trains as one computation: one to either side at each width."""
SMOOTHNESS_RUNS = 3
"""Runs on a line that measure how smoothly training answers to the hyperparameters, once a job."""


def short_steps(steps: int) -> int:
    """Inner steps of a short run, in a job whose full runs take ``steps``."""
    return min(steps, max(SHORTEST, -(-steps // SHORT_SHARE)))
