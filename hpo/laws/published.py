"""Constants of published scaling laws. Losses are in nats per token, N without embeddings, D and B in tokens, S in steps.

Kaplan et al. 2020, "Scaling Laws for Neural Language Models" (arXiv 2001.08361), appendix A and tables 2 and 3.
Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models" (arXiv 2203.15556), approach 3; its constants were
fitted again from the published figure by Besiroglu et al. 2024, "Chinchilla Scaling: A replication attempt"
(arXiv 2404.10102), who found the original fit stopped early.
"""

from dataclasses import dataclass

PF_DAY = 1e15 * 86_400
"""Floating-point operations of a petaflop/s over a day: 8.64e19."""


@dataclass(frozen=True)
class Power:
    """Power law y = (scale / x) ** exponent."""

    scale: float
    exponent: float

    def at(self, x: float) -> float:
        """Value y at x."""
        return float((self.scale / x) ** self.exponent)


@dataclass(frozen=True)
class CriticalBatch:
    """Critical batch size B_crit(L) = tokens / L ** (1 / exponent)."""

    tokens: float
    exponent: float

    def at(self, loss: float) -> float:
        """Critical batch size in tokens: a run takes twice the least steps and twice the least tokens to the loss."""
        return float(self.tokens / loss ** (1 / self.exponent))


@dataclass(frozen=True)
class Growth:
    """Growth with compute: y = at_one * (C_min in PF-days) ** power."""

    at_one: float
    power: float

    def at(self, pf_days: float) -> float:
        """Value y at a compute."""
        return float(self.at_one * pf_days**self.power)


@dataclass(frozen=True)
class Additive:
    """Hoffmann's law L = E + A / N**alpha + B / D**beta."""

    floor: float
    of_parameters: float
    alpha: float
    of_tokens: float
    beta: float

    def at(self, parameters: float, tokens: float) -> float:
        """Loss of a model size and a number of tokens, nats."""
        return float(self.floor + self.of_parameters / parameters**self.alpha + self.of_tokens / tokens**self.beta)


KAPLAN_PARAMETERS = Power(8.8e13, 0.076)
"""L(N): unlimited data, trained to convergence."""
KAPLAN_TOKENS = Power(5.4e13, 0.095)
"""L(D): large models, stopped early."""
KAPLAN_COMPUTE = Power(3.1e8 * PF_DAY, 0.050)
"""L(C_min): scale 3.1e8 PF-days, here in FLOPs."""
KAPLAN_CRITICAL_BATCH = CriticalBatch(2e8, 0.21)
"""B_crit(L), equation 5.3."""
KAPLAN_STEPS = Power(2.1e3, 0.76)
"""The second term of L(N, S_min), equation 5.6; its first is ``KAPLAN_PARAMETERS``."""
KAPLAN_JOINT = (Power(6.4e13, 0.076), Power(1.8e13, 0.103))
"""(N, D) of L(N, D), table 2."""

KAPLAN_BEST_BATCH = Growth(2.0e6, 0.24)
"""B at the compute-efficient frontier, appendix A."""
KAPLAN_BEST_STEPS = Growth(5.4e3, 0.03)
"""S_min at the frontier. N follows: C_min = 6 N B S_min gives 1.3e9 C^0.73; and D = 2 B S_min = 2e10 C^0.27 at B_crit."""

KAPLAN_OVERFITTING = (5e3, 0.74)
"""(factor, power): D >= 5e3 N**0.74 tokens keep the loss within 0.02 nats of unlimited data, equation 4.4."""

HOFFMANN = Additive(1.69, 406.4, 0.34, 410.7, 0.28)
"""Constants of Hoffmann et al., as printed; Huber delta 1e-3, far below the residuals: least absolute deviations."""
BESIROGLU = Additive(1.8172, 482.01, 0.3478, 2085.43, 0.3658)
"""Constants of Besiroglu et al.; they agree with Hoffmann's approaches 1 and 2, about 20 tokens per parameter.

Huber delta 1e-3, too."""
HOFFMANN_TOKENS_PER_PARAMETER = 20.0
"""Tokens per parameter by approaches 1 and 2, where N and D both grow as C**0.5."""
