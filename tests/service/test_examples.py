"""Examples of the OpenAPI document: every body has one that a real server takes, every JSON answer one that fits."""

from typing import Any

import httpx
import jsonschema_rs
import pytest

from benchmarks.api_examples import send
from service import examples
from service.app import create_app
from service.examples import JSON
from service.serve import background
from service.settings import ServiceSettings


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> dict[str, Any]:
    return create_app(ServiceSettings(data_dir=tmp_path_factory.mktemp("document"))).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    paths = document["paths"].items()
    return [(f"{method.upper()} {path}", found) for path, methods in paths for method, found in methods.items()]


def fits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(value)


def test_every_reference_leads_to_a_schema(document):
    def references(value: Any) -> list[str]:
        match value:
            case {"$ref": str(reference)}:
                return [reference]
            case dict():
                return [each for inner in value.values() for each in references(inner)]
            case list():
                return [each for inner in value for each in references(inner)]
        return []

    named = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert len(named) > 50 and named <= set(document["components"]["schemas"])


def test_every_body_has_an_example_that_fits_its_schema(document):
    bodies = [
        (name, media_type, body)
        for name, operation in operations(document)
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items()
    ]
    assert len(bodies) >= 10
    for name, media_type, body in bodies:
        assert body.get("examples"), f"{name} takes {media_type} and has no example of it"
        for example in body["examples"].values():
            fits(document, body["schema"], example["value"])
    shown = sum(len(body["examples"]) for _, _, body in bodies)
    assert shown == sum(len(each) for each in examples.REQUESTS.values())


def test_every_json_answer_has_an_example_that_fits_its_schema(document):
    for name, operation in operations(document):
        good = {status: answer for status, answer in operation["responses"].items() if status[0] == "2"}
        contents = [answer["content"][JSON] for answer in good.values() if JSON in answer.get("content", {})]
        if not contents:
            continue
        assert any("examples" in content for content in contents), f"{name}: run `python -m benchmarks.api_examples`"
        for content in contents:
            for example in content.get("examples", {}).values():
                fits(document, content["schema"], example["value"])
                reference = content["schema"]["$ref"].removeprefix("#/components/schemas/")
                known = document["components"]["schemas"][reference]["properties"]
                assert set(example["value"]) <= set(known), f"{name}: run `python -m benchmarks.api_examples`"


def test_no_secret_was_recorded():
    recorded = examples.answers()
    assert set(recorded["POST /v1/keys"]["201"]["key"]) == set("wt_0")
    assert set(recorded["POST /v1/webhooks"]["201"]["secret"]) == set("whsec_0=")


def test_a_server_takes_every_request_that_is_shown(sqlite, tmp_path, work):
    # Nothing is sent to the webhooks that the examples make: the server does not look for messages while the test runs.
    settings = ServiceSettings(data_dir=tmp_path, webhook_poll=60)
    job_id = work.succeeded()
    keyless = {name: some for name, some in examples.REQUESTS.items() if name != ("POST", "/v1/keys")}
    last = {("POST", "/v1/keys"): examples.REQUESTS[("POST", "/v1/keys")]}  # the first key shuts the server
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url, timeout=120) as client:
        for (method, path), some in (keyless | last).items():
            for title, example in some.items():
                answer = send(client, method, path.format(job_id=job_id), example)
                assert answer.status_code in (200, 201), f"{path}, {title}: {answer.text}"
