"""Repeated data: how many fresh tokens the tokens of several epochs are worth.

Muennighoff et al. 2023, "Scaling Data-Constrained Language Models" (arXiv 2305.16264), equations 5 and 6:

    D' = U_D + U_D R_D* (1 - exp(-R_D / R_D*)),   R_D = D / U_D - 1
    N' = U_N + U_N R_N* (1 - exp(-R_N / R_N*)),   R_N = max(N / U_N - 1, 0)

with U_D the distinct tokens, U_N the model size that is best for U_D fresh tokens, and L = E + A / N'^alpha + B / D'^beta.
"""

import math
from dataclasses import dataclass

import numpy as np

from hpo.laws.forms import Array
from hpo.laws.published import Additive

DATA_HALF_LIFE = 15.387756
"""R_D*, their fit to 182 runs: after so many repetitions an epoch is worth 1/e of a fresh one."""
MODEL_HALF_LIFE = 5.309743
"""R_N*, for parameters beyond those that the distinct tokens can feed."""
HARMLESS_EPOCHS = 4.0
"""Epochs up to which they found repeated tokens about as good as fresh ones."""


def worth(amount: Array, distinct: Array, half_life: float) -> Array:
    """Worth of an amount in fresh units: all of it up to ``distinct``, each repetition less than the one before.

    Args:
        amount: tokens, or parameters, [rows].
        distinct: distinct tokens, or parameters that they can feed, [rows].
        half_life: R*, repetitions after which one is worth 1/e of a fresh one.
    """
    extra = np.maximum(amount / distinct - 1, 0.0)
    return np.asarray(np.minimum(amount, distinct) - distinct * half_life * np.expm1(-extra / half_life), dtype=np.float64)


@dataclass(frozen=True)
class Repeated:
    """Law of Hoffmann's form for runs that repeat their data."""

    law: Additive
    data_half_life: float = DATA_HALF_LIFE
    model_half_life: float = MODEL_HALF_LIFE

    def best_parameters(self, distinct: float) -> float:
        """U_N: parameters whose compute-optimal run has that many fresh tokens."""
        law = self.law
        power = law.alpha + law.beta
        balance = (law.alpha * law.of_parameters / (law.beta * law.of_tokens)) ** (1 / power)
        # N = G (C / 6)^(beta / (alpha + beta)) and D = (C / 6)^(alpha / (alpha + beta)) / G, solved for N at that D.
        return float(balance * (distinct * balance) ** (law.beta / law.alpha))

    def at(self, parameters: float, tokens: float, distinct: float) -> float:
        """Loss of a model size, of tokens trained on, and of distinct tokens, nats."""
        feedable = self.best_parameters(distinct)
        size, seen = np.array([parameters]), np.array([tokens])
        n = worth(size, np.array([feedable]), self.model_half_life)
        d = worth(seen, np.array([distinct]), self.data_half_life)
        return self.law.at(float(n[0]), float(d[0]))


def repeated_tokens(tokens: Array, distinct: Array) -> tuple[Array, str]:
    """(tokens in units of fresh ones, a sentence on how often they were repeated); an empty sentence where none was.

    Args:
        tokens: D, tokens trained on, [rows].
        distinct: U_D, distinct tokens, [rows].
    """
    epochs = tokens / distinct
    repeated = int((epochs > 1).sum())
    if not repeated:
        return tokens, ""
    most = float(epochs.max())
    beyond = int((epochs > HARMLESS_EPOCHS).sum())
    said = (
        f"{repeated} of {len(tokens)} rows repeat their data, up to {most:.3g} epochs: D is the worth in fresh tokens, "
        f"D' = U + U R* (1 - exp(-(D / U - 1) / R*)) with R* = {DATA_HALF_LIFE:.4g} of Muennighoff et al. 2023, which was "
        "measured on web text"
    )
    if beyond:
        said += f"; {beyond} of them went beyond {HARMLESS_EPOCHS:g} epochs, where repeated tokens begin to count less"
    if most > 1 + math.e * DATA_HALF_LIFE:
        said += ", and some so far that more epochs add nothing"
    return worth(tokens, distinct, DATA_HALF_LIFE), said
