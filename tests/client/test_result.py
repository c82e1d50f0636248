"""The result of a real job: values, plans, figures."""

import typing

import plotly.graph_objects as go
import pytest

from windtunnel import InvalidRequest, Result, TuneResult
from windtunnel.client._result import Plot


@pytest.fixture(scope="module")
def result(finished):
    """The result of the finished job."""
    return finished.result()


def test_a_result_is_a_tune_result(result):
    assert isinstance(result, TuneResult)
    assert result.hyperparameters == result.best.hyperparameters
    assert "learning_rate.hidden" in result.hyperparameters


def test_a_result_plans(result, finished):
    assert result.plan(width=32, force=True).job_id == finished.id


def test_a_result_lists_its_outer_steps(result, finished):
    assert result.steps() == list(finished.follow())


@pytest.mark.parametrize("which", [which for which in typing.get_args(Plot) if which not in ("regularisers", "response")])
def test_every_figure_can_be_plotted(result, which):
    figure = result.plot(which)
    assert isinstance(figure, go.Figure)
    assert figure.data


def test_an_unknown_figure_is_refused_with_the_known_ones(result):
    with pytest.raises(InvalidRequest, match="tuning, loss"):
        result.plot("pie")


def test_a_result_shows_losses_and_hyperparameters(result):
    text = repr(result)
    assert f"{result.best.test.mean:.4f} ± {result.best.test.stderr:.4f}" in text
    assert all(label in text for label in result.hyperparameters)
    assert str(result) == text


def test_a_result_from_a_file_says_where_the_server_is_needed(result):
    lying = Result.model_validate_json(result.model_dump_json())
    assert lying.model_dump() == result.model_dump()
    with pytest.raises(InvalidRequest, match=r"client\.jobs\.get"):
        lying.plan(width=32)
