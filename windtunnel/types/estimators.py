"""The table of estimators: cost, hyperparameters that each can differentiate, settings, and the search that uses it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from windtunnel.types.hyperparameters import IN_THE_LOSS, REGULARISERS, HyperparameterName
from windtunnel.types.kinds import OneOf

SearchName = Literal["portfolio", "descent", "best_response"]
"""Outer loop of a job. portfolio: a sampler and hypergradients share one budget. descent: steps along the hypergradient,
with races of candidates. best_response: regularisers are tuned while the one run of the response trains."""
MethodSetting = Literal[
    "adjoint",
    "checkpointing",
    "states_in",
    "growth_budget",
    "window",
    "samples",
    "sigma",
    "solver",
    "solver_steps",
    "damping",
    "warmup",
    "training_steps",
    "validation_steps",
    "perturbation",
    "entropy",
    "response_rate",
    "hyper_rate",
    "control_variate",
]
RESPONSE_SETTINGS: tuple[MethodSetting, ...] = (
    "warmup",
    "training_steps",
    "validation_steps",
    "perturbation",
    "entropy",
    "response_rate",
    "hyper_rate",
)
"""Settings of the best-response estimators."""


@dataclass(frozen=True)
class EstimatorInfo:
    """Row of the table of estimators.

    In its formulas T is the number of steps, S the size of the optimizer state, c the cost of a gradient, k the number of
    hyperparameters.
    """

    name: str
    title: str
    time: str
    memory: str
    bias: str
    source: str
    settings: tuple[MethodSetting, ...] = ()
    """Fields of ``method`` that it takes."""
    fixed: Mapping[MethodSetting, str] = field(default_factory=dict)
    """Setting that it does not take -> the one value that is accepted, because it describes what the estimator does."""
    defaults: Mapping[MethodSetting, float] = field(default_factory=dict)
    """Setting -> its default, where that differs from the other estimators' default."""
    search: SearchName = "descent"
    """Outer loop that uses it."""
    through_updates: bool = False
    """Whether it differentiates through the updates of the weights, and so needs their derivative to be that of the run."""
    why_alone: str = ""
    """Reason why no best response can tune the regularisers beside it; empty where one can."""
    why_not_bf16: str = ""
    """Reason why it does not work in bf16, as the rest of a sentence; empty where it does."""
    why_whole_batches: str = ""
    """Reason why it cannot go through a batch in parts, as the rest of a sentence; empty where it can."""
    why_own_models: str = ""
    """Reason why it works with this project's families only, as the rest of a sentence; empty where any module will do."""
    only: frozenset[HyperparameterName] | None = None
    """The hyperparameters that it can differentiate; None: all of them."""
    never: frozenset[HyperparameterName] = frozenset()
    """Hyperparameters that it cannot differentiate, even if ``only`` has them."""
    why: str = ""
    """Reason why it cannot differentiate the other hyperparameters; empty where it can differentiate all."""

    @property
    def is_best_response(self) -> bool:
        """Whether it trains weights as a function of the regularisers, and tunes the regularisers meanwhile."""
        return self.search == "best_response"

    @property
    def has_sampler(self) -> bool:
        """Whether a sampler searches beside it: each outer step goes to one of the two."""
        return self.search == "portfolio"

    def can(self, name: HyperparameterName) -> bool:
        """Whether it can differentiate that hyperparameter."""
        return name not in self.never and (self.only is None or name in self.only)


UNANSWERED = (
    "the response says what the best weights are for a regulariser, and which weights are best does not depend on how the "
    "optimizer gets there"
)

ITSELF = "it is a best response itself"
ONE_GRAPH = "differentiates a step with the whole batch in one graph"
SINGLE_RESPONSE = "computes its response in layers of its own, in float32"
RESPONDING = "puts its response into the layers of this project's own families ({families}), not into a module of one's own"

ESTIMATORS: Mapping[str, EstimatorInfo] = {
    info.name: info
    for info in (
        EstimatorInfo(
            "auto",
            "chosen by the job: bounded reverse mode and a sampler in one portfolio",
            "as of its parts",
            "as of its parts",
            "as of its parts",
            "",
            settings=("adjoint", "checkpointing", "states_in", "growth_budget"),
            search="portfolio",
            why_alone="it samples and races points of all that is searched, and a best response moves the regularisers "
            "of a point while it trains",
        ),
        EstimatorInfo(
            "reverse",
            "reverse mode by state replay",
            "4 T c (sqrt: 5 T c; log: (4 + log8 T) T c)",
            "sqrt(T) S, T S, log(T) S, or T S / N; nothing in a file",
            "none when exact; bounded: shrinks what chaos inflates",
            "Maclaurin et al. 2015; Franceschi et al. 2017",
            settings=("adjoint", "checkpointing", "states_in", "growth_budget"),
            through_updates=True,
        ),
        EstimatorInfo(
            "higher",
            "reverse mode through the whole unrolled graph, by the package higher",
            "3 to 5 T c",
            "T (S + activations)",
            "none",
            "Grefenstette et al. 2019",
            fixed={"adjoint": "exact"},
            through_updates=True,
            why_own_models="builds models of this project only",
            why_whole_batches=ONE_GRAPH,
        ),
        EstimatorInfo(
            "forward",
            "forward mode: one tangent for each hyperparameter, or a few random ones",
            "(1 + 2 k) T c, or (1 + 2 samples) T c",
            "(1 + k) S, or (1 + samples) S",
            "none; random tangents: variance",
            "Franceschi et al. 2017; Shen et al. 2024, (FG)^2U",
            settings=("samples",),
            through_updates=True,
            why_whole_batches=ONE_GRAPH,
        ),
        EstimatorInfo(
            "truncated",
            "reverse mode through the last steps only",
            "T c + 3 window c",
            "window S",
            "short horizon",
            "Shaban et al. 2019",
            settings=("window",),
            never=frozenset({"init_scale"}),
            through_updates=True,
            why="the initial weights lie before the window",
            why_whole_batches=ONE_GRAPH,
        ),
        EstimatorInfo(
            "greedy",
            "one-step lookahead at every step (hypergradient descent, T1-T2)",
            "2 T c; 4 T c with hyperparameters of the loss",
            "S",
            "strong: each step is judged by the loss right after it",
            "Baydin et al. 2018; Luketina et al. 2016",
            never=frozenset({"init_scale"}),
            through_updates=True,
            why="the initial weights are no update's doing",
            why_whole_batches=ONE_GRAPH,
        ),
        EstimatorInfo(
            "implicit",
            "implicit differentiation at the trained weights",
            "T c + (5 + 2 solver_steps) c on 1,024 examples; neumann 20 c more, nystrom twice the steps",
            "S",
            "as far as training is from a stationary point, and the solve from exact",
            "Lorraine et al. 2020; Hataya & Yamada 2023 (Nystrom)",
            settings=("solver", "solver_steps", "damping"),
            only=IN_THE_LOSS,
            why="a stationary point of the training loss does not depend on how it was reached, so the answer would be 0",
            why_whole_batches=ONE_GRAPH,
        ),
        EstimatorInfo(
            "es",
            "evolution strategies: antithetic Gaussian perturbations of whole runs",
            "(1 + 2 samples) T c",
            "S a member",
            "smoothing over sigma",
            "Salimans et al. 2017",
            settings=("samples", "sigma"),
        ),
        EstimatorInfo(
            "pes",
            "persistent evolution strategies: perturbations of windows, accumulated over the run",
            "(1 + 2 samples) T c, and a validation loss a window",
            "S a member",
            "smoothing over sigma",
            "Vicol et al. 2021",
            settings=("samples", "sigma", "window"),
        ),
        EstimatorInfo(
            "finite_difference",
            "central differences, coordinate by coordinate",
            "(1 + 2 k) T c",
            "S",
            "rounding and curvature over sigma",
            "",
            settings=("sigma",),
            defaults={"sigma": 0.01},
            why_not_bf16="takes differences of losses that lie closer together than bf16 can tell",
        ),
        EstimatorInfo(
            "stn",
            "best response: networks whose weights answer to perturbed regularisers, tuned while they train once",
            "2 T c and a validation step of 2 c every training_steps, in all",
            "2 S and the response, 3 (P + k channels)",
            "local response; each step is judged by the present validation loss",
            "MacKay et al. 2019",
            settings=RESPONSE_SETTINGS,
            search="best_response",
            why_alone=ITSELF,
            why_own_models=RESPONDING,
            why_not_bf16=SINGLE_RESPONSE,
            why_whole_batches=ONE_GRAPH,
            only=frozenset(REGULARISERS),
            why=UNANSWERED,
        ),
        EstimatorInfo(
            "delta_stn",
            "best response: weights trained as they are, beside a centred and linearised response to the regularisers",
            "3 T c and a validation step of 2 c every training_steps, in all",
            "S and the response, 3 (P + k channels)",
            "local response; each step is judged by the present validation loss",
            "Bae & Grosse 2020",
            settings=(*RESPONSE_SETTINGS, "control_variate"),
            search="best_response",
            why_alone=ITSELF,
            why_own_models=RESPONDING,
            why_not_bf16=SINGLE_RESPONSE,
            why_whole_batches=ONE_GRAPH,
            only=frozenset(REGULARISERS),
            why=UNANSWERED,
        ),
    )
}

BEST_RESPONSES: Mapping[str, EstimatorInfo] = {name: info for name, info in ESTIMATORS.items() if info.is_best_response}

EstimatorName = Annotated[str, OneOf(ESTIMATORS)]
"""A name of the table of estimators."""
BestResponseName = Annotated[str, OneOf(BEST_RESPONSES)]
"""A name of a best response of the table of estimators."""


def that_can(name: HyperparameterName) -> list[str]:
    """Names of the estimators that can differentiate a hyperparameter."""
    return [info.name for info in ESTIMATORS.values() if info.can(name)]
