"""The plan's loss of a regression takes labels as columns or as rows, and nothing that would be spread over the outputs."""

import pytest
import torch

import windtunnel.torch


def test_labels_may_be_a_column_but_not_of_another_batch(finish, plan_of):
    plan = plan_of(finish({}), width=64, steps=5).model_copy(update={"kind": "regression"})
    loss = windtunnel.torch.criterion(plan)
    outputs, labels = torch.randn(5, 1), torch.randn(5)
    expected = (outputs[:, 0] - labels).square().mean()
    torch.testing.assert_close(loss(outputs, labels), expected)
    torch.testing.assert_close(loss(outputs, labels[:, None]), expected)
    with pytest.raises(ValueError, match=r"labels have shape \[4\]; allowed for 5 outputs: \[5\] or \[5, 1\]"):
        loss(outputs, labels[:4])
