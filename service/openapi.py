"""Additions to the OpenAPI document that FastAPI cannot know: media type of problems, body of a table of runs, examples."""

from typing import Any

from service import examples
from service.problems.answers import PROBLEM_TYPE, PROBLEMS
from windtunnel.types.laws import LawFitRequest

REFERENCE = "#/components/schemas/{model}"


def complete(document: dict[str, Any]) -> None:
    """Fill in a fresh document, in place."""
    schemas = document["components"]["schemas"]
    table = LawFitRequest.model_json_schema(ref_template=REFERENCE)
    schemas |= table.pop("$defs")
    schemas["LawFitRequest"] = table
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status in PROBLEMS:
                content = operation["responses"][status]["content"]
                content[PROBLEM_TYPE] = content.pop("application/json")
            _add_examples(f"{method.upper()} {path}", operation)


def _add_examples(name: str, operation: dict[str, Any]) -> None:
    method, _, path = name.partition(" ")
    for title, example in examples.REQUESTS.get((method, path), {}).items():
        body = operation["requestBody"]["content"][example.media_type]
        body.setdefault("examples", {})[title] = {"summary": example.summary, "value": example.value}
    for status, answer in examples.answers().get(name, {}).items():
        operation["responses"][status]["content"][examples.JSON]["examples"] = {"recorded": {"value": answer}}
