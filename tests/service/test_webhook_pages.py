"""The page of webhooks by its forms alone: make, test, delete; mistakes and secrets; who may."""

import html
import re

import pytest

from tests.service.test_page_forms import send, text

URL = "https://hooks.example.com/windtunnel"


def made(client, **fields: str) -> str:
    """Id of a webhook that the form made."""
    answer = send(client, "/webhooks", url=URL, **{"event.job.failed": "on"}, **fields)
    assert answer.status_code == 200, answer.text
    return client.get("/v1/webhooks").json()["items"][-1]["id"]


def test_a_webhook_is_made_and_its_secret_is_shown_this_once(client):
    answer = send(client, "/webhooks", url=URL, name="chat & co", **{"event.job.failed": "on", "event.job.paused": "on"})
    assert re.search(r"whsec_[\w+/=]{20,}", answer.text)
    hook = client.get("/v1/webhooks").json()["items"][0]
    assert (hook["url"], hook["name"], {*hook["events"]}) == (URL, "chat & co", {"job.failed", "job.paused"})
    again = client.get("/webhooks").text
    assert "whsec_" not in again and "chat &amp; co" in again


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"event.job.failed": "on"}, "url is required"),
        ({"url": URL}, "events has 0 items"),
        ({"url": "ftp://example.com", "event.job.failed": "on"}, "/url"),
        ({"url": "http://127.0.0.1/x", "event.job.failed": "on"}, "which is loopback"),
    ],
)
def test_a_mistake_is_told_and_what_was_typed_stays(client, fields, said):
    answer = send(client, "/webhooks", **fields)
    assert answer.status_code == 422 and said in text(answer)
    assert html.escape(fields.get("url", "")) in answer.text
    assert client.get("/v1/webhooks").json()["items"] == []


def test_a_webhook_is_tested_and_deleted(client):
    hook = made(client)
    assert send(client, f"/webhooks/{hook}/ping").headers["location"] == "/webhooks"
    assert [each["type"] for each in client.get(f"/v1/webhooks/{hook}").json()["deliveries"]] == ["ping"]
    assert "ping" in client.get("/webhooks").text
    assert send(client, f"/webhooks/{hook}/delete").headers["location"] == "/webhooks"
    assert client.get("/v1/webhooks").json()["items"] == []
    assert send(client, f"/webhooks/{hook}/delete").status_code == 404


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_a_form_of_another_site_makes_no_webhook(client, origin):
    hook = made(client)
    for path in ("/webhooks", f"/webhooks/{hook}/ping", f"/webhooks/{hook}/delete"):
        answer = client.post(path, data={"url": URL}, headers={"origin": origin})
        assert (answer.status_code, answer.json()["type"]) == (403, "foreign-origin")


def test_the_account_says_who_asks_and_leads_to_keys_and_webhooks(client):
    page = client.get("/sign-in").text
    assert "local" in page and 'href="/keys"' in page and 'href="/webhooks"' in page
