"""A classification task of known origin: labels drawn from a random two-layer teacher network."""

import torch
from torch import Tensor

from windtunnel.types.tasks import BUILT_IN

TEACHER_SEED = 7
TEACHER_WIDTH = 128
TEMPERATURE = 0.5
"""Temperature of the labels' softmax over unit-variance logits: low enough to learn, too high for a loss of 0."""


def teacher() -> tuple[Tensor, Tensor]:
    """Gaussian inputs [6144, 32]; labels sampled from softmax(logits / temperature) of the teacher."""
    info = BUILT_IN["synthetic"]
    examples = info.train_examples + info.validation_examples + info.test_examples
    generator = torch.Generator().manual_seed(TEACHER_SEED)
    inputs = torch.randn(examples, info.features, generator=generator)
    first = torch.randn(info.features, TEACHER_WIDTH, generator=generator) / info.features**0.5
    second = torch.randn(TEACHER_WIDTH, info.classes, generator=generator) / TEACHER_WIDTH**0.5
    logits = torch.relu(inputs @ first * 2**0.5) @ second
    probabilities = torch.softmax((logits - logits.mean(0)) / logits.std() / TEMPERATURE, dim=1)
    labels = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
    return inputs, labels
