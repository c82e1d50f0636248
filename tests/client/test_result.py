"""The result of a real job: values, plans, figures."""

import re
import typing
from pathlib import Path

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from windtunnel import InvalidRequest, Job, Result, TuneResult
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


def test_a_report_is_one_file_without_a_link_to_anywhere(finished: Job, tmp_path: Path):
    plan = finished.plan(width=64, force=True)
    finished.label(name="</script><script>alert(1)</script>", notes="<b>bold</b> & more")
    text = finished.report(tmp_path).read_text()
    finished.label(name="", notes="")
    plan.delete()
    assert [file.name for file in tmp_path.iterdir()] == [f"{finished.id}.html"]
    assert "<script>alert(1)" not in text and "<b>bold" not in text and "&lt;b&gt;bold&lt;/b&gt; &amp; more" in text
    own = text.replace(get_plotlyjs(), "")
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", own)
    for part in ("Losses on fresh seeds", "Coordinate check", "Ladder of widths", "learning_rate.hidden", plan.id, "torch"):
        assert part in own, part
    assert text.count("Plotly.newPlot") - get_plotlyjs().count("Plotly.newPlot") >= 7


def test_notebooks_show_tables_in_which_every_text_is_escaped(finished: Job):
    finished.label(name="<script>")
    shown = finished._repr_html_()
    finished.label(name="")
    assert "<script>" not in shown and "&lt;script&gt;" in shown and finished.id in shown
    result = finished.result()
    assert result.best.test.words in result._repr_html_() and "learning_rate.hidden" in result._repr_html_()
    plan = finished.plan(width=64, force=True)
    roles = plan._repr_html_()
    plan.delete()
    assert all(row.role in roles for row in plan.roles) and "16 -&gt; 64" in roles
