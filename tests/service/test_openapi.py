"""The whole OpenAPI document tried out, on both databases, with and without a key: nothing undocumented, no 5xx."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import keys, webhooks
from store.database import Database
from store.deliveries import Outcome

EXAMPLES = 3
"""Requests for each operation, kind of request, database and caller: the document has some thirty operations."""

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def server(database: Database, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # Webhooks are made with addresses out of the air; nothing is to be sent to them.
    monkeypatch.setattr("service.webhooks.sender.deliver", lambda *_: Outcome(error="nothing leaves this test"))
    with background(create_app(settings, database=database)) as url:
        yield url


@pytest.mark.parametrize("caller", ["anybody", "owner", "keyless"])
def test_no_answer_that_is_not_documented(server, database, work_on_either, caller):
    ids = {"job_id": work_on_either.succeeded()}
    headers = {}
    if caller != "anybody":
        with database.transaction() as session:
            made = keys.create(session, "test", owner="local", operator=1)
            ids["key_id"] = keys.create(session, "to revoke", owner="local").id
            url = "https://example.com/"
            hook = webhooks.create(session, owner="local", name="", url=url, events=["job.queued"], most=1)
            ids["webhook_id"] = hook.id
        headers = {"authorization": f"Bearer {made.key}"} if caller == "owner" else {}
    schema = schemathesis.openapi.from_url(f"{server}/openapi.json")
    seen: set[int] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        if caller == "anybody" and operation.label == "POST /v1/keys":
            continue  # the first key shuts the server: tests/service/test_keys.py
        known = {name: value for name, value in ids.items() if f"{{{name}}}" in operation.path}
        try_all(operation, GenerationMode.POSITIVE, headers, seen, path_parameters=known or None)
        if has_schema(operation):
            try_all(operation, GenerationMode.NEGATIVE, headers, seen)
    assert (401 in seen) == (caller == "keyless")
    assert {200} < seen


def has_schema(operation: Any) -> bool:
    """Can a request be wrong? A path of plain strings cannot, nor can a header."""
    return bool(operation.body) or any(True for _ in operation.query)


def try_all(operation: Any, mode: GenerationMode, headers: dict[str, str], seen: set[int], **given_parts: Any) -> None:
    """Send requests that fit the document, or do not; the same ones each time."""
    strategy = operation.as_strategy(generation_mode=mode, **given_parts)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def send(case: Case) -> None:
        answer = case.call_and_validate(headers=headers, checks=CHECKS, timeout=20)
        seen.add(answer.status_code)

    send()


def test_every_reference_of_the_document_leads_to_a_schema(settings):
    document = create_app(settings).openapi()
    text = json.dumps(document)
    assert "$defs" not in text
    assert set(re.findall(r"#/components/schemas/([^\"]+)", text)) <= set(document["components"]["schemas"])
