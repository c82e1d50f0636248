"""The OpenAPI document: schemas that a route documents by itself, moved to where references look for them."""

from typing import Any


def name_schemas(document: dict[str, Any], operation: dict[str, Any]) -> None:
    """Move a body's own schema and its definitions among the components: ``#/components/schemas/...`` must lead there.

    pydantic leaves the definitions of a nested model in ``$defs`` of the schema, whatever its references say.
    """
    components = document["components"]["schemas"]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "$defs" in schema:
            schema = {key: value for key, value in schema.items() if key != "$defs"}
            components.update({**content["schema"]["$defs"], schema["title"]: schema})
            content["schema"] = {"$ref": f"#/components/schemas/{schema['title']}"}
