"""Makes and verifies signatures of webhook deliveries (Standard Webhooks specification 1.0)."""

# Not the package standardwebhooks, with which the tests compare these: on a malformed signature header it raises whatever
# unpacking and decoding raise, where a receiver needs one error; and it takes a secret that is not base 64 throughout.

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping

from windtunnel.types.webhooks import WebhookMessage

SECRET_PREFIX = "whsec_"  # noqa: S105 the beginning of every secret
SCHEME = "v1"
"""Version of the signature scheme: HMAC-SHA256 in base 64."""
TOLERANCE = 300
"""Seconds between the clocks of sender and receiver, at most: a recorded old delivery is refused."""


class InvalidSignature(ValueError):
    """The delivery cannot be trusted: it was not signed with this secret, was changed on the way, or is too old."""


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Header ``webhook-signature``: ``v1,`` and base 64 of HMAC-SHA256(secret, "message_id.timestamp.body").

    Args:
        secret: the webhook's secret, as shown when it was made, ``whsec_...``.
        message_id: header ``webhook-id``.
        timestamp: header ``webhook-timestamp``, seconds since 1970 of this attempt.
        body: the exact bytes of the request.

    Raises:
        ValueError: the secret does not have this form.
    """
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return f"{SCHEME},{base64.b64encode(digest).decode()}"


def verify(
    body: bytes, headers: Mapping[str, str], secret: str, *, tolerance: float = TOLERANCE, now: float | None = None
) -> WebhookMessage:
    """The message of a delivery, once its signature and its age were checked.

    Args:
        body: the exact bytes of the request, before anything has parsed them.
        headers: headers of the request; upper and lower case count as equal.
        secret: the webhook's secret, as shown when it was made, ``whsec_...``.
        tolerance: seconds that the timestamp may differ from this machine's clock.
        now: seconds since 1970; None: this machine's clock.

    Raises:
        InvalidSignature: a header is missing, the signature is wrong, or the timestamp is too far away.
        ValueError: the secret does not have this form.
    """
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if name not in given]
    if missing:
        raise InvalidSignature(f"the request has no header {' and no '.join(missing)}")
    stamp = given["webhook-timestamp"]
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 16):
        raise InvalidSignature(f"webhook-timestamp is {stamp!r}; allowed: whole seconds since 1970")
    age = (time.time() if now is None else now) - int(stamp)
    if abs(age) > tolerance:
        when = f"{age:.0f} s old" if age > 0 else f"{-age:.0f} s in the future"
        raise InvalidSignature(f"the delivery is {when}; allowed: {tolerance:g} s. Check this machine's clock")
    expected = sign(secret, given["webhook-id"], int(stamp), body).encode()
    # While a sender changes its secret it signs with both, so there may be several signatures, with spaces between.
    signatures = given["webhook-signature"].split()
    if not any(hmac.compare_digest(expected, signature.encode()) for signature in signatures):
        raise InvalidSignature("no signature of the delivery was made with this secret over these bytes")
    return WebhookMessage.model_validate_json(body)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("this is not a webhook's secret, which begins with whsec_ and continues in base 64")
    return key
