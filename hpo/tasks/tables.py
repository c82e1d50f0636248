"""Tabular classification sets that packages ship."""

import torch
from torch import Tensor


def breast_cancer() -> tuple[Tensor, Tensor]:
    """569 tumours, 30 measurements of cell nuclei each, benign or malignant, from scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    inputs, labels = load_breast_cancer(return_X_y=True)
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)
