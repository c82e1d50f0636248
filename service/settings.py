"""Settings of the server, from the environment (prefix ``WINDTUNNEL_``) or from the command line."""

import ipaddress
import re
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from store.settings import StoreSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SEGMENTS = re.compile(r"(/[A-Za-z0-9._~-]+)*")
"""Paths under which a proxy may serve. Nothing in one needs quoting: in HTML, in a header, or in a URL."""
LONGEST = 200
"""Characters of such a path, at most."""


def prefix_of(given: str) -> str:
    """The path under which a proxy serves, as it is put before paths: ``/tunnel``; empty for the root.

    Raises:
        ValueError: it is no plain path.
    """
    prefix = given.removesuffix("/")
    plain = SEGMENTS.fullmatch(prefix) and not {".", ".."} & set(prefix.split("/"))
    if not plain or len(prefix) > LONGEST:
        raise ValueError(
            f"{given[:LONGEST]!r} is no path to serve under; allowed: /tunnel, /team/tunnel and such, of letters, digits "
            f"and . _ ~ -, at most {LONGEST} characters"
        )
    return prefix


def is_loopback(name: str) -> bool:
    """True where this host name or address always means the machine itself."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class ServiceSettings(StoreSettings):
    """Settings of the server: its address, whom it answers, and the limits of what one owner may have."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on: a loopback one, or any once an API key was made."
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names a request may carry besides the loopback names, separated by commas. Without keys, "
        "whoever can reach the server under such a name may do everything.",
    )
    root_path: str = Field(
        "", description="Path under which a proxy serves this server, such as /tunnel; else X-Forwarded-Prefix says it."
    )
    forwarded_allow_ips: Annotated[tuple[Network, ...], NoDecode] = Field(
        (ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("::1")),
        description="Addresses and networks of the proxies whose X-Forwarded-Prefix and X-Forwarded-Proto are believed, "
        "separated by commas.",
    )
    max_jobs: int = Field(1000, ge=1, description="Jobs of one owner that have not ended, at most.")
    requests_per_minute: int = Field(6000, ge=0, description="Of one owner, at most; 0 for any number.")
    max_connections: int = Field(1000, ge=8, description="Connections at the same time; any more are refused with 503.")
    header_seconds: float = Field(
        10.0, gt=0, le=600, description="Seconds in which the header of a request must have come, else the answer is 408."
    )
    body_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds in which a body must have come, else the answer is 408; each 8 KiB of it give one more.",
    )
    max_streams: int = Field(50, ge=1, description="Jobs that one owner may follow live at the same time.")
    max_uploads: int = Field(4, ge=1, description="Uploads of one owner at the same time; others are refused with 429.")
    max_plans: int = Field(10_000, ge=0, description="Transfer plans of one owner, at most.")
    check_seconds: float = Field(
        300.0, gt=0, le=3600, description="Seconds that the coordinate check of given values may take, at most."
    )
    max_fits: int = Field(1000, ge=0, description="Stored scaling-law fits of one owner, at most.")
    keep_jobs_days: float = Field(
        0,
        ge=0,
        description="Days after which a job that has ended is deleted with its plans and checkpoints; 0 keeps all jobs.",
    )
    session_hours: float = Field(
        24 * 7, gt=0, le=24 * 365, description="Hours after which a browser that has signed in must sign in again."
    )
    broker_url: str | None = Field(None, description="Redis, which then counts the requests to all servers of a fleet.")
    event_poll: float = Field(0.25, gt=0, le=10, description="Seconds between two looks at a followed job.")

    max_webhooks: int = Field(20, ge=0, description="Webhooks of one owner, at most.")
    webhook_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="Networks that webhooks may go to besides public addresses, separated by commas: 127.0.0.0/8,::1/128.",
    )
    webhook_timeout: float = Field(10.0, gt=0, le=60, description="Seconds that one attempt may take, at most.")
    webhook_attempts: int = Field(8, ge=1, le=20, description="Attempts to deliver a message, at most.")
    webhook_retry: float = Field(
        5.0, gt=0, le=3600, description="Seconds until the second attempt; each later pause is four times as long."
    )
    webhook_poll: float = Field(1.0, gt=0, le=60, description="Seconds between two looks for messages to send.")

    least_free_bytes: int = Field(
        256 * 2**20, ge=0, description="Room on the disk of the data folder below which the server is not ready, in bytes."
    )
    max_dataset_bytes: int = Field(256 * 2**20, gt=0, description="Size of an uploaded file, at most, in bytes.")
    max_datasets: int = Field(100, ge=0, description="Data sets of one owner, at most.")
    max_datasets_bytes: int = Field(
        8 * 2**30, ge=0, description="Room that the data sets of one owner take together, at most, in bytes."
    )
    dataset_memory: int = Field(
        2 * 2**30, ge=512 * 2**20, description="Memory of the process that reads an uploaded file, at most, in bytes."
    )
    dataset_seconds: int = Field(60, ge=1, le=3600, description="Time that it may take, at most.")

    @field_validator("broker_url")
    @classmethod
    def _redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "redis+socket://")):
            raise ValueError("the broker is Redis: redis://host:port/0, rediss:// with TLS, redis+socket:///path")
        return url

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, given: str) -> str:
        return prefix_of(given)

    @field_validator("allowed_hosts", "webhook_networks", "forwarded_allow_ips", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip().lower() for name in value.split(",") if name.strip()) if isinstance(value, str) else value
