"""Signatures of webhooks: those of other implementations, and nothing else is believed."""

import time

import pytest
import standardwebhooks

from windtunnel.webhooks import InvalidSignature, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_signature_is_the_one_of_other_implementations():
    body = '{"test": 2432232314}'
    oracle = standardwebhooks.Webhook(SECRET)
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body.encode())
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    stamp = str(int(time.time()))
    headers = {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": sign(SECRET, "m", int(stamp), b"{}")}
    assert oracle.verify("{}", headers) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"webhook-id": None}, "no header webhook-id"),
        ({"webhook-timestamp": "soon"}, "whole seconds"),
        ({"webhook-timestamp": "1000301"}, "301 s in the future"),
        ({"webhook-timestamp": "999699"}, "301 s old"),
        ({"webhook-timestamp": "1000001"}, "no signature"),
        ({"webhook-id": "msg_2"}, "no signature"),
        ({"webhook-signature": "v1,AAAA v2,xyz"}, "no signature"),
        ({"webhook-signature": "é"}, "no signature"),
    ],
)
def test_what_was_not_signed_so_is_not_believed(change, words):
    body = b'{"type": "ping", "timestamp": "2026-01-01T00:00:00Z", "data": {}}'
    good = {"Webhook-Id": "msg_1", "Webhook-Timestamp": "1000000"}
    good["Webhook-Signature"] = "v1,AAAA " + sign(SECRET, "msg_1", 1_000_000, body)
    assert verify(body, good, SECRET, now=1_000_000.0).type == "ping"
    with pytest.raises(InvalidSignature, match="no signature"):
        verify(body + b" ", good, SECRET, now=1_000_000.0)
    with pytest.raises(ValueError, match="whsec_"):
        verify(body, good, "whsec_", now=1_000_000.0)
    bad = {name.lower(): value for name, value in good.items()} | change
    with pytest.raises(InvalidSignature, match=words):
        verify(body, {name: value for name, value in bad.items() if value is not None}, SECRET, now=1_000_000.0)
