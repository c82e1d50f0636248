"""API keys on the wire: name, owner and prefix of each, and the secret once, when a key is made."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from windtunnel.types.base import Request, Response

KeyName = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)
]


class KeyRequest(Request):
    """Request for a new key, which will belong to the caller."""

    name: KeyName = Field(description="Purpose of the key, such as the machine that will hold it.", examples=["laptop"])


class ApiKey(Response):
    """An API key without its secret."""

    id: str
    owner: str
    name: str
    prefix: str
    """First characters of the key, to recognise it by."""
    operator: bool
    """Whether it may also drain workers and read the fleet's metrics."""
    created_at: datetime
    used_at: datetime | None = None
    """Time of its last use, to the minute; None: never used."""
    revoked_at: datetime | None = None


class NewApiKey(ApiKey):
    """An API key that has just been made. Nobody can read the secret again."""

    key: str
