"""``export``: writes a job where other tools look, as an Optuna study."""

from typing import Annotated

import typer

from windtunnel.cli import output
from windtunnel.cli.extras import need
from windtunnel.cli.options import AsJson, JobId, Url
from windtunnel.client import Client


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    job_id: JobId,
    *,
    optuna: Annotated[
        str,
        typer.Option(metavar="STORAGE", help="Database of Optuna, such as sqlite:///studies.db.", show_default=False),
    ],
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the study. Default: the job's id.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write a job as an Optuna study: one trial for each point tried, its validation loss as value.

    optuna-dashboard opens it. A study of that name must not be there yet.

    \b
    Examples:
      windtunnel export job_01KAN... --optuna sqlite:///studies.db
      windtunnel export job_01KAN... --optuna sqlite:///studies.db --study "first flight"
    """
    need("export", "optuna")
    from windtunnel.optuna_study import write_study

    with Client(url) as client:
        found = client.jobs.compare(client.jobs.find(job_id)).items[0]
        trials = write_study(found, optuna, study)
    name = study or found.job.id
    if as_json:
        output.print_json({"job_id": found.job.id, "study": name, "storage": optuna, "trials": trials})
    else:
        output.say(f"study {name!r} of {trials} trials is in {optuna}; look at it: optuna-dashboard {optuna}")
