"""Renders JSON schemas in words: allowed values, and tables of an object's fields."""

import json
from collections.abc import Iterator
from typing import Any

BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
SIZES = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
NAMES = {"array": "list", "boolean": "true or false", "integer": "whole number", "null": "null"}


def anchor(title: str) -> str:
    """Anchor of a heading, as GitHub makes it."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in "-_ ").replace(" ", "-")


def prose(text: str) -> str:
    """Text of a docstring for a cell or a paragraph: on one line, with only code in backticks as markup."""
    pieces = " ".join(text.replace("``", "`").split()).split("`")
    if len(pieces) % 2 == 0:
        # An odd backtick is no code: nothing is.
        pieces = ["".join(pieces)]
    for index in range(0, len(pieces), 2):
        for sign, written in (("*", "\\*"), ("<", "&lt;"), ("[", "\\[")):
            pieces[index] = pieces[index].replace(sign, written)
    return "`".join(pieces).replace("|", "\\|")


def value(given: Any) -> str:
    """A JSON value as code for a cell."""
    return f"`{json.dumps(given, ensure_ascii=False)}`".replace("|", "\\|")


def words(schema: dict[str, Any]) -> str:
    """Allowed values of a schema, in one line of Markdown."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{anchor(name)})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            joint = " and " if several == "allOf" else " or "
            return joint.join(dict.fromkeys(words(each) for each in schema[several]))
    if "const" in schema:
        return value(schema["const"])
    if "enum" in schema:
        return ", ".join(value(each) for each in schema["enum"])
    return _typed(schema)


def _typed(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if kind is None:
        return "any JSON"
    if isinstance(kind, list):
        return " or ".join(_typed({**schema, "type": each}) for each in kind)
    text = NAMES.get(kind, kind)
    if kind == "array":
        inside = schema.get("prefixItems") or [schema["items"]] if "items" in schema or "prefixItems" in schema else []
        text += " of " + ", ".join(words(each) for each in inside) if inside else ""
    elif kind == "object":
        inside = schema.get("additionalProperties")
        text = f"object of {words(inside)}" if isinstance(inside, dict) and inside else "object"
    elif kind == "string":
        text = {"date-time": "time", "binary": "file"}.get(schema.get("format", ""), "text")
        text = "file" if "contentMediaType" in schema else text
    limits = [f"{word} {schema[bound]:g}" for bound, word in BOUNDS.items() if bound in schema]
    limits += [_size(size, schema[bound]) for bound, size in SIZES.items() if bound in schema]
    limits += [f"like {value(schema['pattern'])}"] if "pattern" in schema else []
    return ", ".join([text, *limits])


def _size(words: str, number: int) -> str:
    return "not empty" if (number, words[:8]) == (1, "at least") else words.format(number)


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a table of an object's fields."""
    yield "| field | value | default | meaning |"
    yield "|---|---|---|---|"
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        unset = "required" if name in required else ""
        default = value(field["default"]) if "default" in field else unset
        yield f"| `{name}` | {words(field)} | {default} | {prose(field.get('description', ''))} |"
