"""Renders the server's OpenAPI document as a page: parameters, bodies, answers and examples of routes, and objects."""

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from documentation.schemas import anchor, fields, prose, words

METHODS = ("get", "post", "put", "patch", "delete")
INTRODUCTION = """\
<!-- Written by `make reference` from the server's OpenAPI document; do not edit. -->
# Routes and objects

Every route of the API with its parameters, bodies and answers, and every [object](#objects) in them, as `GET /openapi.json`
of a server has them.
What routes have in common (idempotency, paging, events, problem types, security) is in [the API reference](api.md).
Refusals and failures are [problems](api.md#problems)."""


def page(document: dict[str, Any]) -> str:
    """Markdown page of an OpenAPI 3.1 document."""
    lines = [INTRODUCTION]
    groups: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in _operations(item):
            group = (operation.get("tags") or ["other"])[0]
            groups.setdefault(group, []).extend(_operation(f"{method.upper()} {path}", operation))
    for group, described in groups.items():
        lines += ["", f"## Routes: {group}", *described]
    webhooks = document.get("webhooks", {})
    if webhooks:
        lines += ["", "## Webhooks", "", "What the server sends."]
        for name, item in webhooks.items():
            for _, operation in _operations(item):
                lines += _operation(name, operation)
    lines += ["", "## Objects"]
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        lines += _object(name, schema)
    return "\n".join(lines) + "\n"


def _operations(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    shared = item.get("parameters", [])
    for method in METHODS:
        if method in item:
            operation = item[method]
            yield method, {**operation, "parameters": [*shared, *operation.get("parameters", [])]}


def _operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"### {title}", "")
    yield prose(operation.get("description") or operation.get("summary", ""))
    if operation["parameters"]:
        yield from ("", "| parameter | in | value | default | meaning |", "|---|---|---|---|---|")
        for parameter in operation["parameters"]:
            yield _parameter(parameter)
    body = operation.get("requestBody")
    if body:
        yield from ("", f"Body{'' if body.get('required') else ', which may be left out'}: {_contents(body['content'])}.")
        for described in body["content"].values():
            # Of a form: the objects of JSON bodies have names and stand below.
            if described.get("schema", {}).get("properties"):
                yield from ("", *fields(described["schema"]))
        yield from _examples("A body", body["content"])
    yield from ("", "| status | answer | meaning |", "|---|---|---|")
    # Numbers before ranges (4XX), in order.
    answers = sorted(operation["responses"].items(), key=lambda answer: (not str(answer[0]).isdigit(), str(answer[0])))
    for status, answer in answers:
        headers = [f"header `{name}`: {prose(header.get('description', ''))}" for name, header in _named(answer, "headers")]
        meaning = "; ".join([_meaning(str(status), answer.get("description", "")), *headers])
        yield f"| {status} | {_contents(answer.get('content', {}))} | {meaning} |"
    for status, answer in answers:
        yield from _examples(f"Answer {status}", answer.get("content", {}))


def _meaning(status: str, description: str) -> str:
    """Description of a status; without one, its name in HTTP."""
    if status.isdigit() and description in ("", "Successful Response"):
        return HTTPStatus(int(status)).phrase
    return prose(description)


def _named(answer: dict[str, Any], kind: str) -> Iterable[tuple[str, dict[str, Any]]]:
    found: dict[str, dict[str, Any]] = answer.get(kind, {})
    return found.items()


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
    default = "required" if parameter.get("required") else default
    meaning = parameter.get("description") or schema.get("description", "")
    return f"| `{parameter['name']}` | {parameter['in']} | {words(schema)} | {default} | {prose(meaning)} |"


def _contents(content: dict[str, Any]) -> str:
    """Description of the allowed bodies, with media types other than JSON."""
    told = []
    for media, described in content.items():
        schema = described.get("schema") or {}
        if media in ("application/json", "application/problem+json"):
            told.append(words(schema))
        else:
            told.append(f"`{media}`" + (f" ({words(schema)})" if "$ref" in schema else ""))
    return " or ".join(dict.fromkeys(told)) or "nothing"


def _examples(title: str, content: dict[str, Any]) -> Iterator[str]:
    for media, described in content.items():
        named = {name: example for name, example in described.get("examples", {}).items() if "value" in example}
        if "example" in described:
            named = {"": {"value": described["example"]}, **named}
        for name, example in named.items():
            said = prose(example.get("summary") or example.get("description") or name)
            yield from ("", f"{title}{f', {said}' if said else ''}:", "")
            yield from _block(media, example["value"])


def _block(media: str, given: Any) -> Iterator[str]:
    text = given if isinstance(given, str) else json.dumps(given, indent=2, ensure_ascii=False)
    yield from ("```json" if media.endswith("json") else "```text", text.rstrip("\n"), "```")


def _object(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"### {name}", "")
    if schema.get("description"):
        yield from (prose(schema["description"]), "")
    if schema.get("properties"):
        yield from fields(schema)
    else:
        yield f"Value: {words(schema)}."
    for example in schema.get("examples", ()):
        yield from ("", "For example:", "", *_block("application/json", example))


__all__ = ["anchor", "page"]
