"""Chooses the examples on which a loss of one's own is tried: every label, whatever the order of the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.tasks import Split
from windtunnel.types import TaskInfo

NAMES = ("train", "validation", "test")
LOGITS = 2**22
"""Most logits of the chosen examples together."""
MOST, LEAST = 512, 4
"""Most and least examples that are chosen."""
CONSIDERED = 2**22
"""Most labels of a part that are looked at; of more, evenly spread examples."""
ROWS = 24
"""Random examples beside those that were chosen for their labels, so that labels come as often as in the data."""


@dataclass(frozen=True)
class Chosen:
    """Examples with their places in the data."""

    inputs: Tensor
    """[n, *input_shape]"""
    labels: Tensor
    """[n], for text [n, context]"""
    places: list[tuple[str, int]]
    """(part, row) of each."""
    spread: int
    """The first examples, which were chosen for their labels; those after them are random."""

    def words(self, row: int) -> str:
        """Name of an example for a message: its row, its part and its label."""
        part, place = self.places[row]
        label = self.labels[row]
        if not label.dim():
            said = f"label {label.item():g}"
        else:
            values = torch.unique(label)
            shown = ", ".join(str(int(value)) for value in values[:4]) + (", ..." if len(values) > 4 else "")
            said = f"label{'s' if len(values) > 1 else ''} {shown}"
        return f"example {place} of the {part} part ({said})"


def choose(info: TaskInfo, parts: Sequence[Split]) -> Chosen:
    """Examples whose labels stand for all labels of the data.

    Of a classification the first example of each class, of text one with each token and those of fewest different tokens,
    of a regression evenly spread targets with the smallest, the largest and the one nearest to 0; and random ones.
    """
    size = info.classes * (info.features if info.kind == "language" else 1)
    most = max(LEAST, min(MOST, LOGITS // size))
    rows = [torch.arange(0, len(part), 1 + part.labels.numel() // CONSIDERED) for part in parts]
    labels = torch.cat([part.labels[own] for part, own in zip(parts, rows, strict=True)])
    places = [(name, int(row)) for name, own in zip(NAMES, rows, strict=False) for row in own]
    match info.kind:
        case "classification":
            wanted = _one_each(labels, most)
        case "language":
            wanted = _with_each_token(labels, most)
        case "regression":
            wanted = _spread(labels, most)
    generator = torch.Generator().manual_seed(0)
    random = torch.randperm(len(labels), generator=generator)[: min(ROWS, most)].tolist()
    picked = [places[index] for index in (*wanted, *random)]
    by_name = dict(zip(NAMES, parts, strict=False))
    return Chosen(
        torch.stack([by_name[name].inputs[row] for name, row in picked]),
        torch.stack([by_name[name].labels[row] for name, row in picked]),
        picked,
        len(wanted),
    )


def _evenly(items: list[int], most: int) -> list[int]:
    """Evenly spread items, the first and the last among them: ``most``, or all if there are fewer."""
    if len(items) <= most:
        return items
    return [items[int(place)] for place in torch.linspace(0, len(items) - 1, most).round().tolist()]


def _one_each(labels: Tensor, most: int) -> list[int]:
    """Indices of the first example of each class [n]."""
    order = labels.argsort(stable=True)
    first = torch.ones(len(labels), dtype=torch.bool)
    first[1:] = labels[order][1:] != labels[order][:-1]
    return _evenly(order[first].tolist(), most)


def _with_each_token(labels: Tensor, most: int) -> list[int]:
    """Indices of examples [n, context] of fewest different tokens, and of the first one with each token."""
    ordered = labels.sort(dim=1).values
    different = (ordered[:, 1:] != ordered[:, :-1]).sum(1)
    plainest = different.argsort(stable=True)
    tokens, counts = torch.unique(labels, return_counts=True)
    # One example of each constant value: a token that is ignored leaves nothing of an example that has no other.
    constant = plainest[: int((different == 0).sum())]
    plain = [int(constant[index]) for index in _one_each(labels[constant, 0], max(1, most // 4))] if len(constant) else []
    plain += plainest[len(constant) : len(constant) + 2].tolist()
    flat = labels.flatten()
    order = flat.argsort(stable=True)
    first = order[counts.cumsum(0) - counts] // labels.shape[1]
    # Frequent tokens first: padding is one; and the ends of the vocabulary, where special tokens lie.
    ranked = [0, len(tokens) - 1, *counts.argsort(descending=True, stable=True).tolist()]
    found = dict.fromkeys([*plain, *(int(first[token]) for token in ranked)])
    return list(found)[:most]


def _spread(labels: Tensor, most: int) -> list[int]:
    """Indices of evenly spread targets [n], with the smallest, the largest and the nearest to 0."""
    evenly = _evenly(labels.argsort(stable=True).tolist(), min(most, 64) - 1)
    return list(dict.fromkeys([*evenly, int(labels.abs().argmin())]))
