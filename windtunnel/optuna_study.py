"""A job as an Optuna study, and an Optuna study as the start of a job. Needs the extra ``optuna``.

A study has one trial for each point that the job tried, in the order they were tried: its hyperparameters by label, the
validation loss as value, and as user attributes the id of the job. A point that diverged is a failed trial.
"""

from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from windtunnel.client import InvalidRequest
from windtunnel.types.comparisons import ComparedJob
from windtunnel.types.hyperparameters import BIJECTIONS

ATTRIBUTE = "windtunnel"
"""Beginning of the names of user attributes."""


def write_study(compared: ComparedJob, storage: str, name: str | None = None) -> int:
    """Write the points of a job as a new study, and return the number of its trials.

    Args:
        compared: the job, as ``client.jobs.compare`` gives it.
        storage: address of a database that Optuna knows, such as ``sqlite:///studies.db``.
        name: name of the study; by default the id of the job.

    Raises:
        InvalidRequest: the database has a study of this name, cannot be opened, or the job has tried no point yet.
    """
    points, job = compared.points, compared.job
    if not points.losses:
        raise InvalidRequest(f"job {job.id} has tried no point yet; wait for its first outer step")
    ends = _distributions(points.hyperparameters)
    trials = [
        create_trial(
            state=TrialState.COMPLETE if loss is not None else TrialState.FAIL,
            value=loss,
            params={label: column[row] for label, column in points.hyperparameters.items()},
            distributions=ends,
            user_attrs={f"{ATTRIBUTE} job": job.id},
        )
        for row, loss in enumerate(points.losses)
    ]
    called = name or job.id
    try:
        study = optuna.create_study(storage=storage, study_name=called, direction="minimize")
        about: dict[str, object] = {
            "job": job.id,
            "name": job.name,
            "task": job.task_title or job.spec.task,
            "state": job.state,
        }
        about |= {"spec": job.spec.model_dump_json(), "every point": points.complete, "loss": "validation loss, nats"}
        for key, value in about.items():
            study.set_user_attr(f"{ATTRIBUTE} {key}", value)
        study.add_trials(trials)
    except DuplicatedStudyError as error:
        raise InvalidRequest(f"{storage} has a study {called!r} already; give another name with --study") from error
    except (SQLAlchemyError, ValueError, ImportError) as error:
        raise InvalidRequest(f"cannot write a study to {storage!r}: {error}") from error
    return len(trials)


def best_of_study(storage: str, name: str) -> dict[str, float]:
    """Parameters of the best finished trial of a study, by name, for ``initial`` of a job's spec.

    Raises:
        InvalidRequest: there is no such study, it has no finished trial or several objectives, or a parameter is no number.
    """
    try:
        study = optuna.load_study(storage=storage, study_name=name)
        best: Mapping[str, object] = study.best_trial.params
    except (KeyError, SQLAlchemyError, ValueError, RuntimeError, ImportError) as error:
        raise InvalidRequest(f"cannot take the best trial of study {name!r} from {storage!r}: {error}") from error
    wrong = [label for label, value in best.items() if isinstance(value, bool) or not isinstance(value, float | int)]
    if wrong:
        raise InvalidRequest(f"study {name!r}: {', '.join(wrong)} is no number; a job begins at numbers")
    return {label: float(value) for label, value in best.items() if isinstance(value, float | int)}


def _distributions(columns: Mapping[str, list[float]]) -> dict[str, BaseDistribution]:
    """Range of each hyperparameter, from the least to the largest value tried; logarithmic where the search is."""
    logarithmic = {str(name) for name, kind in BIJECTIONS.items() if kind == "log"}
    return {
        label: FloatDistribution(
            min(values), max(values), log=label.partition(".")[0] in logarithmic and 0 < min(values) < max(values)
        )
        for label, values in columns.items()
    }
