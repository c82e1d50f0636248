"""What plain forms of the page send: fields by name; those that were not filled in are not there."""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await request.body()).decode("latin-1"))
    return {name: values[-1] for name, values in fields.items()}


FormDependency = Annotated[dict[str, str], Depends(_form)]
