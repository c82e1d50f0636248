"""The generated pages are what the code says now, and the generator says everything that an OpenAPI document may hold."""

import json
import re

import pytest

from documentation.__main__ import pages, within
from documentation.openapi import anchor, page
from documentation.schemas import fields, prose, words


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return {path.name: text for path, text in pages().items()}


def test_pages_are_current(generated):
    stale = [path.name for path, text in pages().items() if not path.exists() or path.read_text() != text]
    assert not stale, f"not what the code says now: {stale}; run `make reference`"


def test_every_link_within_the_page_of_the_api_leads_to_one_heading(generated):
    text = generated["openapi.md"]
    titles = [anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    assert len(set(titles)) == len(titles)
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(titles)


def test_every_row_has_the_cells_of_its_table(generated):
    width = 0
    for line in generated["openapi.md"].splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert cells in (width, 0) or width == 0, line
        width = cells


DOCUMENT = {
    "paths": {
        "/v1/things/{thing_id}": {
            "parameters": [{"name": "thing_id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "post": {
                "tags": ["things"],
                "description": "Make one.\nBy ``name``.",
                "parameters": [
                    {"name": "limit", "in": "query", "description": "At most.", "schema": {"type": "integer", "default": 5}}
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Thing"},
                            "examples": {"small": {"summary": "a small one", "value": {"name": "x"}}},
                        },
                        "text/csv": {"schema": {"type": "string"}, "example": "a,b\n1,2\n"},
                        "multipart/form-data": {"schema": {"properties": {"file": {"description": "The bytes."}}}},
                    },
                },
                "responses": {
                    "4XX": {"description": "Refused"},
                    "404": {"description": ""},
                    "201": {
                        "description": "Made",
                        "headers": {"Location": {"description": "Where it is."}},
                        "content": {"application/json": {"example": {"id": 1}}},
                    },
                },
            },
        }
    },
    "webhooks": {"thing.made": {"post": {"description": "It was made.", "responses": {"200": {"description": "Heard"}}}}},
    "components": {"schemas": {"Thing": {"properties": {"name": {"type": "string"}}, "required": ["name"]}}},
}


def test_a_route_is_told_with_parameters_bodies_answers_headers_and_examples():
    text = page(DOCUMENT)
    for line in (
        "### POST /v1/things/{thing_id}",
        "Make one. By `name`.",
        "| `thing_id` | path | text | required |  |",
        "| `limit` | query | whole number | `5` | At most. |",
        "Body: [Thing](#thing) or `text/csv` or `multipart/form-data`.",
        "| `file` | any JSON |  | The bytes. |",
        "A body, a small one:",
        "| 201 | any JSON | Made; header `Location`: Where it is. |",
        "| 404 | nothing | Not Found |",
        "### thing.made",
        "| `name` | text | required |  |",
    ):
        assert f"\n{line}\n" in text
    assert text.index("| 201 |") < text.index("| 4XX |")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    assert shown == [{"name": "x"}, {"id": 1}]
    assert "```text\na,b\n1,2\n```" in text


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0.0, "maximum": 1e9}, {"type": "null"}]},
         "number, above 0, at most 1e+09 or null"),
        ({"enum": ["a", "b|c"]}, '`"a"`, `"b\\|c"`'),
        ({"const": None}, "`null`"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Job"}, "maxItems": 3},
         "list of [Job](#job), at most 3 items"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}, "list of text, whole number"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "object of true or false"),
        ({"type": "string", "format": "date-time"}, "time"),
        ({"type": "string", "contentMediaType": "application/octet-stream"}, "file"),
        ({"type": ["string", "null"]}, "text or null"),
        ({"type": "string", "minLength": 1, "maxLength": 9}, "text, not empty, at most 9 characters"),
        ({}, "any JSON"),
    ],
)  # fmt: skip
def test_a_schema_is_told_in_words(schema, said):
    assert words(schema) == said


def test_a_default_of_null_is_not_a_required_field():
    schema = {"properties": {"a": {"type": "string", "default": None}, "b": {}, "c": {}}, "required": ["b"]}
    assert [row.split(" | ")[2] for row in list(fields(schema))[2:]] == ["`null`", "required", ""]


def test_no_sign_of_a_description_is_taken_for_markup():
    assert prose("lr * wd, |w| < 1 in [0, 1]; ``a * b``") == "lr \\* wd, \\|w\\| &lt; 1 in \\[0, 1]; `a * b`"


def test_a_page_without_its_marks_is_an_error():
    with pytest.raises(ValueError, match="exactly one part"):
        within("no marks", "estimators", "text")
