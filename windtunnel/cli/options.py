"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from windtunnel.cli.completing import job_ids

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Address of the server. Default: the variable WINDTUNNEL_URL, else http://127.0.0.1:8000.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JobId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Id of a job, such as job_01KAN..., or its last 4 characters or more.",
        show_default=False,
        autocompletion=job_ids,
    ),
]
RoleOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="GLOB=ROLE",
        help="Role of the tensors whose names match, if their shapes do not tell it. Can be repeated.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0, help="Stop waiting after this long (the job goes on).", show_default=False
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        file_okay=False,
        help="Folder of the database and the checkpoints. Default: WINDTUNNEL_DATA_DIR, else ./data.",
        show_default=False,
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="sqlite:///PATH or postgresql://... Default: WINDTUNNEL_DATABASE_URL, else windtunnel.db in the data folder.",
        show_default=False,
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Jobs that run at the same time. Default: WINDTUNNEL_SLOTS, else 1.",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        help="CPU threads of each job. Default: WINDTUNNEL_THREADS, else an equal share of the cores.",
        show_default=False,
    ),
]
BrokerUrl = Annotated[
    str | None,
    typer.Option(
        "--broker-url",
        metavar="URL",
        help="redis://HOST:PORT/0: wakes workers through Celery. Default: WINDTUNNEL_BROKER_URL, else none.",
        show_default=False,
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="LIST",
        help="cpu, GPUs such as cuda:0,cuda:1, or auto; one job at a time on each. Default: WINDTUNNEL_DEVICES, else cpu.",
        show_default=False,
    ),
]
