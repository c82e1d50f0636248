"""Settings of every process that opens the database: read from the environment with the prefix ``WINDTUNNEL_``."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from store.dialect import parse_url
from store.errors import SettingsError
from store.logs import LogFormat

PREFIX = "WINDTUNNEL_"

Kind = TypeVar("Kind", bound="StoreSettings")


class StoreSettings(BaseSettings):
    """Settings of the database and the data folder, and the largest population."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    database_url: str | None = None
    """``sqlite:///path`` or ``postgresql://...``; the default is ``windtunnel.db`` in ``data_dir``."""
    data_dir: Path = Path("data")
    """Folder of the default database and of the checkpoints; the workers of one fleet must share it."""
    max_population_bytes: int = Field(4 * 2**30, gt=0)
    """Largest population, in bytes, that a job may train at once."""
    log_format: LogFormat = "text"
    """Lines for people, or JSON for programs."""

    @field_validator("database_url")
    @classmethod
    def _supported(cls, url: str | None) -> str | None:
        if url is not None:
            parse_url(url)
        return url

    @field_validator("data_dir")
    @classmethod
    def _at_home(cls, folder: Path) -> Path:
        return folder.expanduser()

    @property
    def url(self) -> str:
        """The database's address in force."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'windtunnel.db'}"


def read(kind: type[Kind], **given: Any) -> Kind:
    """Settings of this kind from the environment; ``given`` values (None: not given) go before it.

    Raises:
        SettingsError: a value is malformed; the message names the variable, what was given and what is allowed.
    """
    known = {name: value for name, value in given.items() if value is not None}
    try:
        return kind(**known)
    except ValidationError as error:
        lines = [_explain(problem["loc"], problem["msg"], problem["input"]) for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def _explain(location: tuple[int | str, ...], message: str, given: object) -> str:
    name = PREFIX + str(location[0]).upper() if location else f"the {PREFIX}* settings"
    return f"{name}: {message.removeprefix('Value error, ')}; given {given!r}"
