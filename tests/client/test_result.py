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


def test_the_grids_laws_are_typed_plotted_one_by_one_and_kept_for_a_plan(result):
    (law,) = [each for each in result.scaling.laws if each.law == "loss_tokens"]
    assert result.scaling.law("loss_tokens") is law and result.scaling.law("critical_batch") is None
    assert result.plot("scaling", law="loss_tokens").layout.xaxis.title.text == "D, tokens"
    with pytest.raises(InvalidRequest, match="no law critical_batch"):
        result.plot("scaling", law="critical_batch")
    kept = result.keep_fit("grid", laws=["loss_tokens"])
    assert (kept.name, kept.rows) == ("grid", len(result.scaling.points))
    assert kept.law("loss_tokens").constants == law.constants
    assert result.plan(width=32, law_fit=kept.id, force=True).predicted_loss.fit == kept.id
    told = result.scaling.sentence
    assert law.formula in told or result.scaling.best_informed is not law
    assert f"scaling laws: {told}" in repr(result)
    without = result.model_copy(update={"scaling": None})
    for ask in (without.keep_fit, lambda: without.plot("scaling")):
        with pytest.raises(InvalidRequest, match=r"transfer\.scaling"):
            ask()


def test_a_result_shows_losses_and_hyperparameters(result):
    text = repr(result)
    assert result.best.test.words in text
    assert all(label in text for label in result.hyperparameters)
    assert str(result) == text


def test_a_result_from_a_file_says_where_the_server_is_needed(result):
    lying = Result.model_validate_json(result.model_dump_json())
    assert lying.model_dump() == result.model_dump()
    with pytest.raises(InvalidRequest, match=r"client\.jobs\.get"):
        lying.plan(width=32)
