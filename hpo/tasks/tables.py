"""Loads tabular sets that packages ship."""

import torch
from torch import Tensor


def breast_cancer() -> tuple[Tensor, Tensor]:
    """569 tumours, 30 measurements of cell nuclei each, malignant (0) or benign (1), from scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    inputs, labels = load_breast_cancer(return_X_y=True)
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)


def diabetes() -> tuple[Tensor, Tensor]:
    """442 patients, 10 measurements each, and the progression of their disease a year later, from scikit-learn."""
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True, scaled=False)
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)
