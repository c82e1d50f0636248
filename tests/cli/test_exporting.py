"""A job as an Optuna study and back, read by Optuna itself."""

import json

import optuna
import pytest

from windtunnel.cli.exits import ExitCode
from windtunnel.client import Client


@pytest.fixture
def storage(tmp_path, monkeypatch):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return f"sqlite:///{tmp_path}/studies.db"


def test_a_study_has_every_point_that_the_job_tried_with_its_loss(ask, server, finished, storage):
    done = json.loads(ask("export", finished[-6:], "--optuna", storage, "--json").stdout)
    with Client(server.url) as client:
        points = client.jobs.compare(finished).items[0].points
        best = client.jobs.get(finished).result().best
    study = optuna.load_study(storage=storage, study_name=finished)
    assert done["trials"] == len(study.trials) == len(points.losses) > 2
    for row, trial in enumerate(study.trials):
        assert trial.params == {label: column[row] for label, column in points.hyperparameters.items()}
        assert trial.value == points.losses[row]
        assert (trial.state.name == "FAIL") == (points.losses[row] is None)
    assert study.best_value == min(loss for loss in points.losses if loss is not None)
    assert set(study.best_params) == set(best.hyperparameters)
    rates = [each for label, each in study.trials[0].distributions.items() if label.startswith("learning_rate")]
    assert rates and all(each.log for each in rates if each.low < each.high)
    assert json.loads(study.user_attrs["windtunnel spec"])["task"] == "digits"
    again = ask("export", finished, "--optuna", storage)
    assert again.exit_code == ExitCode.USAGE and "--study" in again.stderr
    assert ask("export", finished, "--optuna", storage, "--study", "another").exit_code == 0


def test_a_job_begins_at_the_best_of_a_study(ask_idle, storage):
    study = optuna.create_study(storage=storage, study_name="mine")
    for rate, loss in ((0.001, 2.0), (0.004, 1.0), (0.1, 3.0)):
        fixed = optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
        study.add_trial(
            optuna.trial.create_trial(
                params={"learning_rate.hidden": rate}, distributions={"learning_rate.hidden": fixed}, value=loss
            )
        )
    begin = ("submit", "--task", "digits", "--from-optuna", storage)
    made = json.loads(ask_idle(*begin, "--study", "mine", "--json").stdout)
    assert made["spec"]["initial"] == {"learning_rate.hidden": 0.004}
    absent = ask_idle(*begin, "--study", "no such")
    assert absent.exit_code == ExitCode.USAGE and "no such" in absent.stderr
    assert ask_idle(*begin).exit_code == ExitCode.USAGE
    study.add_trial(
        optuna.trial.create_trial(
            params={"layers": "many"},
            distributions={"layers": optuna.distributions.CategoricalDistribution(["many", "few"])},
            value=0.5,
        )
    )
    wrong = ask_idle(*begin, "--study", "mine")
    assert wrong.exit_code == ExitCode.USAGE and "layers is no number" in wrong.stderr


def test_a_job_that_has_tried_nothing_and_a_database_that_is_none_are_told(ask_idle, queued, storage):
    early = ask_idle("export", queued, "--optuna", storage)
    assert early.exit_code == ExitCode.USAGE and "no point yet" in early.stderr
    nowhere = ask_idle("submit", "--task", "digits", "--from-optuna", "sqlite:////nowhere/a.db", "--study", "x")
    assert nowhere.exit_code == ExitCode.USAGE and "nowhere" in nowhere.stderr
