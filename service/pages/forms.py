"""Forms of the page: reads what a plain form sends; holds what was typed and what is wrong, which the page shows again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request

from windtunnel.types import Problem

MOST_FIELDS = 200
"""Fields of a form, at most."""


async def _form(request: Request) -> dict[str, str]:
    try:
        fields = parse_qs((await request.body()).decode("latin-1"), max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise HTTPException(400, f"the form has more fields than the {MOST_FIELDS} that are allowed") from error
    return {name: values[-1] for name, values in fields.items()}


FormDependency = Annotated[dict[str, str], Depends(_form)]
"""Fields of a form by name; those that were not filled in are not there."""


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    name: str
    label: str
    pointer: str
    """JSON pointer of its value in the request of the API."""
    value: Any
    """Value that it holds at first."""
    least: int | None = None
    """Least value of a field for a whole number; None for a field of text."""


@dataclass(frozen=True)
class Form:
    """A form of the page, with what was typed in its fields where it comes back."""

    id: str
    fields: Sequence[Field]
    typed: Mapping[str, str] = field(default_factory=dict)
    problem: Problem | None = None

    def shown(self, entry: Field) -> Any:
        """Value of the field to show: as it was typed, else as it was at first."""
        return self.typed.get(entry.name, entry.value)

    def anchor(self, name: str) -> str:
        """The id of a field."""
        return f"{self.id}-{name}"

    def anchors(self) -> dict[str, str]:
        """Pointer of the API -> id of the field that it means."""
        return {entry.pointer: self.anchor(entry.name) for entry in self.fields}

    def wrong(self, entry: Field) -> bool:
        """True where the problem names this field."""
        return self.problem is not None and any(error.pointer == entry.pointer for error in self.problem.errors)


def number(text: str) -> int | float | str:
    """Number that was typed into a field; text that is no number stays text, and the API says what it thinks of it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
