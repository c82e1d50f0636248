"""Explains in words why laws allocate one budget differently."""

from collections.abc import Sequence

from windtunnel.types.allocations import Allocation


def why_they_differ(allocations: Sequence[Allocation]) -> list[str]:
    """Sentences on the differences of the allocations; the first two must be Kaplan's and Hoffmann's."""
    kaplan, hoffmann, *own = allocations
    ratio = kaplan.parameters / hoffmann.parameters
    size = f"{ratio:.3g} times as large a model" if ratio >= 1 else f"a model {1 / ratio:.3g} times smaller"
    told = [
        f"Kaplan's law takes {size} as Hoffmann's for this budget: {kaplan.tokens_per_parameter:.3g} tokens a parameter "
        f"against {hoffmann.tokens_per_parameter:.3g}. Its N grows as C^{kaplan.powers['parameters']:.2f}, Hoffmann's as "
        f"C^{hoffmann.powers['parameters']:.2f}, so the two part further with every decade of compute.",
        "Kaplan's runs shared one learning-rate schedule length, whatever their data: a run read off before its rate had "
        "decayed looks worse than one planned for that length, and so more data looks worth less. Hoffmann's runs each "
        "decayed at their own end.",
        "Kaplan counts N without embeddings and fitted small models, for which the readout's operations, left out of "
        "6 N D, are no small part; counted with them the exponent of N falls towards one half "
        "(Pearce and Song 2024, Porian et al. 2024).",
        "Kaplan's budget pays for the batch: at the critical batch size half of it buys the loss that C_min = C / 2 buys "
        "in small batches, and the other half buys time. Hoffmann's law was fitted to runs at ordinary batch sizes and "
        "does not know it.",
        "The losses are of different data sets and tokenizers (WebText2, MassiveText): compare sizes, not losses.",
    ]
    for each in own:
        nearer = min((kaplan, hoffmann), key=lambda law: abs(law.powers["parameters"] - each.powers["parameters"]))
        name = each.law.removeprefix("yours: ")
        told.append(
            f"Your runs by {name}: N grows as C^{each.powers['parameters']:.2f} here, nearer to {nearer.law}'s; "
            f"{each.tokens_per_parameter:.3g} tokens a parameter."
        )
    return told
