"""Names of things: ids that sort by the time they were made, and the digest of a spec."""

import hashlib
import json
import re
import secrets
import threading
import time

from windtunnel.types import JobSpec
from windtunnel.types.base import stated

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, in lower case on the wire: no letter that looks like a digit, and it sorts like the number."""

RANDOM_BITS = 80

JOB_ID, PLAN_ID, KEY_ID, LAW_FIT_ID, WEBHOOK_ID = (
    re.compile(f"{kind}_[0-9a-z]{{26}}") for kind in ("job", "plan", "key", "law", "hook")
)
"""Pattern of each kind of id."""

# Not python-ulid: it reads its clock outside of its lock and starts afresh whenever the millisecond differs, so ids that
# threads make at once, or that are made after the clock was set back, come out of order. Pages of jobs need the order.
_lock = threading.Lock()
_last = 0


def _encode(number: int) -> str:
    """26 base-32 digits of a 128-bit number."""
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)).lower()


def _ulid() -> str:
    """48 bits of milliseconds and 80 random bits (the ULID layout); strictly increasing within this process."""
    global _last  # noqa: PLW0603
    with _lock:
        fresh = (time.time_ns() // 1_000_000) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
        _last = fresh if fresh > _last else _last + 1
        return _encode(_last)


def job_id() -> str:
    """A new job's id, such as ``job_01jd3v6k3mzt0q6x9h2w4c8f5a``: a later one sorts after an earlier one."""
    return "job_" + _ulid()


def plan_id() -> str:
    """A new transfer plan's id."""
    return "plan_" + _ulid()


def key_id() -> str:
    """A new API key's id, which is no secret."""
    return "key_" + _ulid()


def dataset_id(owner: str, sha256: str) -> str:
    """The id of an owner's data set with this content: the same data give the same id, and no two owners share one."""
    digest = hashlib.sha256(f"{owner}\0{sha256}".encode()).digest()
    return "ds_" + _encode(int.from_bytes(digest[:16]))


def law_fit_id() -> str:
    """A new scaling-law fit's id."""
    return "law_" + _ulid()


def webhook_id() -> str:
    """A new webhook's id."""
    return "hook_" + _ulid()


def message_id() -> str:
    """The id of a message to a webhook, the same for every attempt to deliver it."""
    return "msg_" + _ulid()


def request_sha256(spec: JobSpec) -> str:
    """SHA-256 of the fields that differ from their defaults: two ways to ask for the same job give the same digest."""
    canonical = json.dumps(stated(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
