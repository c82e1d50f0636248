"""API keys on the wire: name, owner and prefix of each, and the secret once, when a key is made."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from windtunnel.types.base import Request, Response

KeyName = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)
]


class KeyRequest(Request):
    """Request for a new key, which belongs to the caller unless an operator says otherwise."""

    name: KeyName = Field(description="Purpose of the key, such as the machine that will hold it.", examples=["laptop"])
    owner: KeyName | None = Field(
        None, description="Owner whose jobs the key opens; by default the caller. Another one's needs an operator's key."
    )
    operator: bool | None = Field(
        None,
        description="Whether the key may also drain workers and manage the keys of others, which only an operator can "
        "give. By default as the key in use for one's own, false for another owner's.",
    )


class KeysQuery(Request):
    """Query that chooses keys to list."""

    owner: KeyName | None = Field(None, description="Keys of this owner; by default the caller's.")
    everybody: bool = Field(False, description="Keys of every owner; needs an operator's key.")


class ApiKey(Response):
    """An API key without its secret."""

    id: str
    owner: str
    name: str
    prefix: str
    """First characters of the key, to recognise it by."""
    operator: bool
    """Whether it may also drain workers, read the fleet's metrics and manage the keys of other owners."""
    created_at: datetime
    used_at: datetime | None = None
    """Time of its last use, to the minute; None: never used."""
    revoked_at: datetime | None = None


class NewApiKey(ApiKey):
    """An API key that has just been made. Nobody can read the secret again."""

    key: str
