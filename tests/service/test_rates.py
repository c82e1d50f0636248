"""Requests are counted by owner, alone or in Redis, and the answer says when to come again."""

import httpx
import pytest

from service.app import create_app
from service.rates import Rates
from service.serve import background
from service.settings import ServiceSettings
from store.errors import SettingsError
from store.settings import read


def test_more_requests_than_allowed_are_told_when_to_come_again(sqlite, tmp_path):
    settings = ServiceSettings(data_dir=tmp_path, requests_per_minute=3)
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        assert [client.get("/v1/tasks").status_code for _ in range(3)] == [200] * 3
        refused = client.get("/v1/jobs")
        assert (refused.status_code, refused.json()["type"]) == (429, "rate-limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.get("/healthz").status_code == 200
        assert client.get("/").status_code == 429


def test_each_owner_has_a_count_of_their_own_and_0_is_no_limit():
    rates = Rates(2)
    assert [rates.wait("ann") > 0 for _ in range(4)] == [False, False, True, True]
    assert rates.wait("bob") == 0
    assert {Rates(0).wait("ann") for _ in range(10)} == {0}


def test_servers_with_a_broker_count_together(redis_server):
    one, other = Rates(3, redis_server.url), Rates(3, redis_server.url)
    assert [rates.wait("ann") > 0 for rates in (one, other, one, other, one)] == [False, False, False, True, True]


def test_while_redis_does_not_answer_nothing_is_refused(caplog):
    assert [Rates(1, "redis://127.0.0.1:1/0").wait("ann") for _ in range(3)] == [0, 0, 0]
    assert "Redis does not answer" in caplog.text


def test_another_broker_is_refused():
    with pytest.raises(SettingsError, match="the broker is Redis"):
        read(ServiceSettings, broker_url="amqp://x")
