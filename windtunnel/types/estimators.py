"""The catalogue of estimators: what each costs, what it can and cannot answer, which settings it takes."""

from dataclasses import dataclass
from typing import Literal

from windtunnel.types.hyperparameters import IN_THE_LOSS, REGULARISERS, HyperparameterName

EstimatorName = Literal[
    "auto",
    "reverse",
    "higher",
    "forward",
    "truncated",
    "greedy",
    "implicit",
    "es",
    "pes",
    "finite_difference",
    "stn",
    "delta_stn",
]
BestResponseName = Literal["stn", "delta_stn"]
MethodSetting = Literal[
    "adjoint",
    "checkpointing",
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
    """One row of the catalogue. In its formulas T is steps, S the size of the optimizer state, c a gradient, k the
    number of hyperparameters."""

    name: EstimatorName
    title: str
    time: str
    memory: str
    bias: str
    source: str
    settings: tuple[MethodSetting, ...] = ()
    only: frozenset[HyperparameterName] | None = None
    """The hyperparameters that it can differentiate; None: all of them."""
    never: frozenset[HyperparameterName] = frozenset()
    """Those that it cannot."""
    why: str = ""
    """Why it cannot differentiate the others."""
    through_updates: bool = False
    """Whether it differentiates through the updates of the weights, and so needs their derivative to be that of the run."""

    def can(self, name: HyperparameterName) -> bool:
        """Whether it can differentiate that hyperparameter."""
        return name not in self.never and (self.only is None or name in self.only)


UNANSWERED = (
    "the response says what the best weights are for a regulariser, and which weights are best does not depend on how the "
    "optimizer gets there"
)

ESTIMATORS: dict[EstimatorName, EstimatorInfo] = {
    info.name: info
    for info in (
        EstimatorInfo(
            "auto",
            "chosen by the job: bounded reverse mode and a sampler in one portfolio",
            "as of its parts",
            "as of its parts",
            "as of its parts",
            "",
            settings=("adjoint", "checkpointing", "growth_budget"),
        ),
        EstimatorInfo(
            "reverse",
            "reverse mode by state replay",
            "4 T c (sqrt: 5 T c)",
            "sqrt(T) S, T S, or T S / N",
            "none when exact; bounded: shrinks what chaos inflates",
            "Maclaurin et al. 2015; Franceschi et al. 2017",
            settings=("adjoint", "checkpointing", "growth_budget"),
            through_updates=True,
        ),
        EstimatorInfo(
            "higher",
            "reverse mode through the whole unrolled graph, by the package higher",
            "3 to 5 T c",
            "T (S + activations)",
            "none",
            "Grefenstette et al. 2019",
            through_updates=True,
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
            why="the initial weights lie before the window",
            through_updates=True,
        ),
        EstimatorInfo(
            "greedy",
            "one-step lookahead at every step (hypergradient descent, T1-T2)",
            "2 T c; 4 T c with hyperparameters of the loss",
            "S",
            "strong: each step is judged by the loss right after it",
            "Baydin et al. 2018; Luketina et al. 2016",
            never=frozenset({"init_scale"}),
            why="the initial weights are no update's doing",
            through_updates=True,
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
        ),
        EstimatorInfo(
            "stn",
            "best response: networks whose weights answer to perturbed regularisers, tuned while they train once",
            "2 T c and a validation step of 2 c every training_steps, in all",
            "2 S and the response, 3 (P + k channels)",
            "local response; each step is judged by the present validation loss",
            "MacKay et al. 2019",
            settings=RESPONSE_SETTINGS,
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
            only=frozenset(REGULARISERS),
            why=UNANSWERED,
        ),
    )
}


def that_can(name: HyperparameterName) -> list[EstimatorName]:
    """Estimators that can differentiate a hyperparameter."""
    return [info.name for info in ESTIMATORS.values() if info.can(name)]
