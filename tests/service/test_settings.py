"""Settings of the server."""

import pytest

from service.settings import ServiceSettings, is_loopback
from store.errors import SettingsError
from store.settings import read


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_may_be_bound(host):
    assert ServiceSettings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "tunnel.example", ""])
def test_public_bind_is_refused_with_the_reason_and_the_way_out(host):
    with pytest.raises(
        SettingsError, match=r"without keys anybody could start jobs.*allowed: 127\.0\.0\.1, ::1, localhost"
    ):
        read(ServiceSettings, host=host)


def test_environment_is_read(monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_PORT", "9000")
    monkeypatch.setenv("WINDTUNNEL_ALLOWED_HOSTS", "a.example, B.example,")
    settings = ServiceSettings()
    assert (settings.port, settings.allowed_hosts) == (9000, ("a.example", "b.example"))


def test_malformed_value_names_the_variable(monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_PORT", "80000")
    with pytest.raises(SettingsError, match=r"WINDTUNNEL_PORT.*65535.*given '80000'"):
        read(ServiceSettings)


def test_names_that_only_look_like_the_loopback_are_not():
    assert not is_loopback("localhost.example")
    assert not is_loopback("127.0.0.1.example")
    assert not is_loopback("0.0.0.0")
