"""``submit`` and ``fork``: send a job to the server."""

import copy
from typing import Annotated, Any

import typer

from windtunnel.cli import output
from windtunnel.cli.completing import tasks
from windtunnel.cli.extras import need
from windtunnel.cli.options import AsJson, JobId, Timeout, Url
from windtunnel.cli.spec_file import override, read_spec
from windtunnel.cli.watching import follow_job, print_outcome, wait_for_end
from windtunnel.client import Client, Job
from windtunnel.tasks import TASKS


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("submit")(submit)
    app.command("fork")(fork)


Source = Annotated[
    str | None,
    typer.Argument(metavar="SPEC", help="JSON or YAML file with a job spec; - reads standard input.", show_default=False),
]
Task = Annotated[
    str | None,
    typer.Option(
        help=f"Task to tune on: {', '.join(TASKS)}, or a data set, by its name or id. Needs no spec file.",
        show_default=False,
        autocompletion=tasks,
    ),
]


def _set(over: str) -> Any:
    """The option ``--set`` for fields of a spec; ``over`` says whose values it replaces."""
    return typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help=f"Set one field of the spec, over {over}; dots go into fields, numbers into lists. Can be repeated.",
        show_default=False,
    )


Assignments = Annotated[list[str] | None, _set("the file")]
Changes = Annotated[list[str] | None, _set("the job's")]
Follow = Annotated[bool, typer.Option("--follow", help="Watch the job until it ends.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job ends, then print its result.")]


def submit(
    spec: Source = None,
    *,
    task: Task = None,
    name: Annotated[str | None, typer.Option(help="A name to find the job by.", show_default=False)] = None,
    assignments: Assignments = None,
    from_optuna: Annotated[
        str | None,
        typer.Option(
            "--from-optuna",
            metavar="STORAGE",
            help="Begin at the best trial of an Optuna study in this database; its parameters are named by label.",
            show_default=False,
        ),
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Name of that study.", show_default=False)] = None,
    follow: Follow = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Submit a job. The server fills in every field that is left out, and refuses a field that is wrong.

    With --json: prints the job; with --wait the ended job and its result; with --follow every event, one per line.

    \b
    Examples:
      windtunnel submit --task digits --follow
      windtunnel submit spec.yaml --set inner.steps=100 --set optimizer.name=sgd
      windtunnel submit --task digits --set target.width=1024 --set search.0.name=learning_rate --wait
      echo '{"task": "digits"}' | windtunnel submit - --json
      windtunnel submit --task digits --from-optuna sqlite:///studies.db --study mine
    """
    _check_ways(follow, wait, timeout)
    wanted = wanted_spec(spec, task, name, assignments or [])
    if from_optuna is not None or study is not None:
        if from_optuna is None or study is None:
            raise typer.BadParameter("a study needs both: --from-optuna STORAGE --study NAME", param_hint="--study")
        need("submit --from-optuna", "optuna")
        from windtunnel.optuna_study import best_of_study

        wanted["initial"] = {**best_of_study(from_optuna, study), **wanted.get("initial", {})}
    with Client(url) as client:
        _hand_over(client, client.jobs.create(wanted), follow=follow, wait=wait, timeout=timeout, as_json=as_json)


def fork(
    job_id: JobId,
    *,
    assignments: Changes = None,
    name: Annotated[str | None, typer.Option(help="A name to find the new job by.", show_default=False)] = None,
    from_best: Annotated[
        bool, typer.Option("--from-best", help="Begin at the job's best hyperparameters instead of its start.")
    ] = False,
    follow: Follow = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Submit another job with this job's spec, except for the fields set. It trains from the start.

    A field set to null goes back to its default. With --json, --wait and --follow: as in submit.

    \b
    Examples:
      windtunnel fork job_01KAN... --set seed=1
      windtunnel fork job_01KAN... --set model.width=128 --from-best --follow
      windtunnel fork job_01KAN... --set search.0.low=1e-4 --name narrower
    """
    _check_ways(follow, wait, timeout)
    with Client(url) as client:
        job = client.jobs.find(job_id)
        parent = job.spec.model_dump(mode="json")
        wanted = copy.deepcopy(parent)
        override(wanted, assignments or [])
        if name is not None:
            wanted["name"] = name
        forked = job.fork(differences(parent, wanted), from_best=from_best)
        _hand_over(client, forked, follow=follow, wait=wait, timeout=timeout, as_json=as_json)


def differences(parent: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Merge patch (RFC 7396) that turns ``parent`` into ``wanted``, which must have all of its fields."""
    changed = {name: value for name, value in wanted.items() if name not in parent or parent[name] != value}
    return {
        name: differences(parent[name], value) if isinstance(value, dict) and isinstance(parent.get(name), dict) else value
        for name, value in changed.items()
    }


def _check_ways(follow: bool, wait: bool, timeout: float | None) -> None:
    if follow and wait:
        raise typer.BadParameter(
            "choose one: --follow shows every step, --wait only the end", param_hint="--follow / --wait"
        )
    if timeout is not None and not wait:
        raise typer.BadParameter("only --wait takes a timeout", param_hint="--timeout")


def _hand_over(client: Client, job: Job, *, follow: bool, wait: bool, timeout: float | None, as_json: bool) -> None:
    """Print a submitted job: its id; or follow it; or wait for its end and print its result."""
    if follow:
        output.say(f"submitted {job.id}")
        follow_job(job, as_json=as_json)
    elif wait:
        output.say(f"submitted {job.id}")
        wait_for_end(job, timeout)
        print_outcome(job, as_json=as_json)
    elif as_json:
        output.print_json(job.wire.model_dump(mode="json"))
    else:
        typer.echo(job.id)
        output.say(f"{job.state}; watch it: windtunnel follow {job.id}, or {client.base_url}/jobs/{job.id}", style="dim")


def wanted_spec(source: str | None, task: str | None, name: str | None, assignments: list[str]) -> dict[str, Any]:
    """The spec of a file, with the values of options set in it.

    Raises:
        BadParameter: neither a file nor a task nor a field is given.
        SpecError: the file or an assignment cannot be read.
    """
    if source is None and task is None and not assignments:
        raise typer.BadParameter(f"give a file, or --task with one of: {', '.join(TASKS)}", param_hint="SPEC")
    wanted = {} if source is None else read_spec(source)
    wanted |= {field: value for field, value in (("task", task), ("name", name)) if value is not None}
    override(wanted, assignments)
    return wanted
