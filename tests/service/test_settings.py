"""Settings of the server."""

import pytest

from service.settings import ServiceSettings, is_loopback
from store.errors import SettingsError
from store.settings import read


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "tunnel.example"])
def test_any_address_may_be_named(host):
    assert ServiceSettings(host=host).host == host


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
