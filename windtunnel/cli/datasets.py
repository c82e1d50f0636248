"""``datasets``: upload, list, show and delete data sets on a server."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client
from windtunnel.token_files import TokenType
from windtunnel.types import Dataset, DatasetDecimal, DatasetDelimiter, DatasetFormat
from windtunnel.types.streams import MOST_VOCABULARY

SHOWN_FEATURES = 30
"""Number of features that ``show`` prints at most."""

DatasetId = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="Name of a data set; or its id, or the last 4 characters or more of it.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="datasets", help="Upload, list, show and delete data sets of your own.")
    group.command("upload")(upload)
    group.command("list")(list_datasets)
    group.command("show")(show)
    group.command("delete")(delete)


def upload(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="npz, csv, parquet, text or tokens (bin, npy).", show_default=False)
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the data set. Default: the file's name.", show_default=False)
    ] = None,
    format: Annotated[  # noqa: A002 - the option's own name
        DatasetFormat | None,
        typer.Option(help="Format of the file. Default: by the ending of its name.", show_default=False),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="csv, parquet: the column to predict. Default: 'target', else the last column.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        Literal["classification", "regression"] | None,
        typer.Option(help="csv, parquet, npz: kind of task. Default: by the values of the target.", show_default=False),
    ] = None,
    delimiter: Annotated[
        DatasetDelimiter | None,
        typer.Option(
            help="csv: what separates the cells. Default: what gives every row as many as the first.", show_default=False
        ),
    ] = None,
    decimal: Annotated[
        DatasetDecimal | None,
        typer.Option(help="csv, parquet: decimal sign of numbers in text. Default: as they tell.", show_default=False),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            min=2, max=4096, help="text, tokens, npz of tokens: tokens of an example. Default: 64.", show_default=False
        ),
    ] = None,
    dtype: Annotated[
        TokenType | None,
        typer.Option(help="tokens: their type, in a .bin file without a header.", show_default=False),
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=MOST_VOCABULARY,
            help="tokens: how many different ones there are. Default: the largest one and all below it.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Upload a file as a data set. The same content gives the same data set.

    \b
    Examples:
      windtunnel datasets upload houses.csv --target price
      windtunnel datasets upload images.npz --name "street signs"
      windtunnel datasets upload train.bin --dtype uint16 --vocabulary 50257 --context 512
      windtunnel submit --task $(windtunnel datasets upload houses.csv) --follow
    """
    with Client(url) as client:
        dataset = client.datasets.upload(
            file,
            name=name,
            format=format,
            target=target,
            kind=kind,
            delimiter=delimiter,
            decimal=decimal,
            context=context,
            dtype=dtype,
            vocabulary=vocabulary,
        )
    if as_json:
        output.print_json(dataset.model_dump(mode="json"))
        return
    typer.echo(dataset.id)
    if dataset.ignored_columns:
        output.say(f"left aside, as row labels: {', '.join(dataset.ignored_columns)}", style="dim")
    output.say(f"{_what(dataset)}; tune on it: windtunnel submit --task {dataset.id}", style="dim")


def list_datasets(as_json: AsJson = False, url: Url = None) -> None:
    """List your data sets, newest first.

    \b
    Examples:
      windtunnel datasets list
    """
    with Client(url) as client:
        found = client.datasets.list()
    if as_json:
        output.print_json([dataset.model_dump(mode="json") for dataset in found])
        return
    if not found:
        output.say("no data sets; send one: windtunnel datasets upload FILE", style="dim")
        return
    rows = [(each.id, each.name, each.file, _what(each), f"{each.created_at:%Y-%m-%d %H:%M}") for each in found]
    output.show(output.table(("id", "name", "file", "what", "uploaded"), rows))


def show(dataset_id: DatasetId, as_json: AsJson = False, url: Url = None) -> None:
    """Show one data set: its recognised columns and kind, its split and its scaling.

    \b
    Examples:
      windtunnel datasets show houses
      windtunnel datasets show houses --json | jq .scaling
    """
    with Client(url) as client:
        dataset = client.datasets.find(dataset_id)
    if as_json:
        output.print_json(dataset.model_dump(mode="json"))
    else:
        output.show(*_parts(dataset))


def delete(dataset_id: DatasetId, as_json: AsJson = False, url: Url = None) -> None:
    """Delete a data set. Refused while a job uses it that has not ended. Results and plans stay.

    \b
    Examples:
      windtunnel datasets delete houses
    """
    with Client(url) as client:
        dataset = client.datasets.find(dataset_id)
        client.datasets.delete(dataset.id)
    if as_json:
        output.print_json({"id": dataset.id, "deleted": True})
    else:
        output.say(f"{dataset.name} ({dataset.id}) is deleted")


def _what(dataset: Dataset) -> str:
    task = dataset.task
    examples = task.train_examples + task.validation_examples + task.test_examples
    match task.kind:
        case "language" if task.stream is not None:
            tokens = task.stream.train + task.stream.validation + task.stream.test
            return f"stream of {tokens:,} tokens of {task.classes:,}, in windows of {task.features} by default"
        case "language":
            return f"text, {examples:,} windows of {task.features} tokens of {task.classes:,}"
        case "classification":
            shape = " x ".join(map(str, task.image)) + " pixels" if task.image else f"{task.features} features"
            return f"classification, {examples:,} examples of {shape}, {task.classes} classes"
        case "regression":
            return f"regression, {examples:,} examples of {task.features} features"


def _parts(dataset: Dataset) -> list[RenderableType]:
    task = dataset.task
    sizes = f"{task.train_examples:,} train, {task.validation_examples:,} validation, {task.test_examples:,} test"
    facts = [
        ("data set", dataset.id),
        ("name", dataset.name),
        ("file", f"{dataset.file}, {dataset.bytes:,} bytes, {dataset.format}"),
        ("what", _what(dataset)),
        *([("target", dataset.target)] if dataset.target else []),
        *([("left aside", ", ".join(dataset.ignored_columns))] if dataset.ignored_columns else []),
        *([("classes", ", ".join(task.sources))] if task.kind == "classification" else []),
        ("parts", sizes),
        ("families", ", ".join(task.families)),
        ("sha256", dataset.sha256),
    ]
    parts: list[RenderableType] = [output.table(("", ""), facts)]
    if dataset.scaling is None or not dataset.columns:
        return parts
    scaling = list(zip(dataset.columns, dataset.scaling.mean, dataset.scaling.deviation, strict=True))
    rows = [(name, output.number(mean), output.number(deviation)) for name, mean, deviation in scaling[:SHOWN_FEATURES]]
    parts += [Text(), output.table(("feature", "mean", "deviation"), rows, right=("mean", "deviation"))]
    mean, deviation = dataset.scaling.target_mean, dataset.scaling.target_deviation
    if mean is not None:
        told = f"{output.number(mean)} mean, {output.number(deviation)} deviation"
        parts.append(
            Text(
                f"{dataset.target or 'target'} is standardised for training: {told}; predicting the mean gives a loss of 1"
            )
        )
    if len(scaling) > SHOWN_FEATURES:
        parts.append(Text(f"and {len(scaling) - SHOWN_FEATURES} more; all of them with --json", style="dim"))
    return parts
