"""API keys on the wire: what they are known by, and the key itself once."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from windtunnel.types.base import Request, Response

KeyName = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)
]


class KeyRequest(Request):
    """A key that is wanted, for the owner who asks."""

    name: KeyName = Field(description="What it is for, such as the machine that will hold it.", examples=["laptop"])


class ApiKey(Response):
    """An API key without its secret."""

    id: str
    owner: str
    name: str
    prefix: str
    """The key's first characters, to know it by."""
    operator: bool
    """May it also drain workers and read the fleet's metrics?"""
    created_at: datetime
    used_at: datetime | None = None
    """When it was last used, to the minute."""
    revoked_at: datetime | None = None


class NewApiKey(ApiKey):
    """An API key that has just been made. Nobody can read the secret again."""

    key: str
