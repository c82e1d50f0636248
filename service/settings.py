"""Settings of the server, from the environment (prefix ``WINDTUNNEL_``) or from the command line."""

import ipaddress
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from store.settings import StoreSettings


def is_loopback(name: str) -> bool:
    """Does this host name or address always mean the machine itself?"""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class ServiceSettings(StoreSettings):
    """Where the server listens and whom it answers."""

    host: str = Field("127.0.0.1", description="Address to listen on. Loopback only: the server has no keys.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names a request may carry besides the loopback names, separated by commas. Whoever can reach the "
        "server under such a name may do everything.",
    )
    event_poll: float = Field(0.25, gt=0, le=10, description="Seconds between two looks at a followed job.")

    max_dataset_bytes: int = Field(256 * 2**20, gt=0, description="Size of an uploaded file, at most, in bytes.")
    max_datasets: int = Field(100, ge=0, description="Data sets of one owner, at most.")
    dataset_memory: int = Field(
        2 * 2**30, ge=512 * 2**20, description="Memory of the process that reads an uploaded file, at most, in bytes."
    )
    dataset_seconds: int = Field(60, ge=1, le=3600, description="Time that it may take, at most.")

    @field_validator("host")
    @classmethod
    def _loopback_only(cls, host: str) -> str:
        if not is_loopback(host):
            raise ValueError(
                f"host {host!r} is reachable from other machines, and without keys anybody could start jobs there; "
                "allowed: 127.0.0.1, ::1, localhost (put a proxy that signs people in before it, and name the proxy's "
                "host in WINDTUNNEL_ALLOWED_HOSTS)"
            )
        return host

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip().lower() for name in value.split(",") if name.strip()) if isinstance(value, str) else value
