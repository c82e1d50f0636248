"""The names of a table of kinds as the type of a field: checked against the table, listed in the JSON schema."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema


@dataclass(frozen=True)
class OneOf:
    """Annotation of a ``str`` field whose value must be a name of a table: ``Annotated[str, OneOf(TABLE)]``.

    A name that the table lacks is refused with the error of a ``Literal``.
    """

    table: Iterable[str]
    """Allowed names; read anew at every check, so that a table may grow."""

    def __hash__(self) -> int:
        return id(self.table)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": [*self.table]}

    def _known(self, name: str) -> str:
        names = [*self.table]
        if name not in names:
            raise PydanticKnownError("literal_error", {"expected": listed(names, "or", quoted=True)})
        return name


def listed(words: Iterable[str], last: str, *, quoted: bool = False) -> str:
    """Words as a list in a sentence: ``a``, ``a or b``, ``a, b or c``.

    Args:
        words: at least one.
        last: the word before the last one, such as ``and``.
        quoted: whether each word stands in quotation marks.
    """
    *first, final = (repr(word) if quoted else word for word in words)
    return f"{', '.join(first)} {last} {final}" if first else final
