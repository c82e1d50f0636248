"""Celery as the doorbell: what a ring is, and how Celery is set up so that losing or doubling one is harmless.

A message carries a job's id and nothing else; the database says whether there is anything to do. No recovery is left to the
broker: no countdown or ETA (past the visibility timeout they double), no revoke, no results.
"""

from collections.abc import Callable
from typing import Any

import redis
from celery import Celery

from store.errors import SettingsError
from workers.settings import WorkerSettings

QUEUE = "windtunnel"
RUN_JOB = "windtunnel.run_job"
"""Name of the only task; its one argument is a job's id."""

CONFIGURATION: dict[str, Any] = {
    "task_ignore_result": True,
    "result_backend": None,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_acks_late": True,
    "worker_prefetch_multiplier": 1,
    "task_reject_on_worker_lost": False,
    # After an hour another worker is rung for a job that still runs; it finds that, and does nothing.
    "broker_transport_options": {"visibility_timeout": 3600, "socket_timeout": 30, "socket_keepalive": True},
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_soft_shutdown_timeout": 60,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "task_default_queue": QUEUE,
    "worker_pool": "threads",
    # A ring that cannot be sent is no loss: the outbox has it.
    "task_publish_retry": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}

BROKER_ERRORS = (redis.RedisError, OSError)
"""The broker is away, restarts, or has lost what it had."""

ANSWER_WITHIN = 5.0
"""Seconds that a dispatcher waits for the broker."""


def make_app(settings: WorkerSettings) -> Celery:
    """Celery with these settings; one thread for each slot, for a task is a supervisor that waits for a process.

    Raises:
        SettingsError: there is no broker.
    """
    app = Celery("windtunnel", broker=_url(settings))
    app.conf.update(CONFIGURATION, worker_concurrency=len(settings.places))
    return app


def waiting_rings(settings: WorkerSettings) -> Callable[[], int]:
    """Asks the broker how many rings no worker has heard yet. Asking raises one of BROKER_ERRORS where it is away."""
    url = _url(settings).replace("redis+socket://", "unix://", 1)
    client = redis.Redis.from_url(url, socket_timeout=ANSWER_WITHIN, socket_connect_timeout=ANSWER_WITHIN)

    def ask() -> int:
        return int(client.llen(QUEUE))

    return ask


def _url(settings: WorkerSettings) -> str:
    if settings.broker_url is None:
        raise SettingsError(
            "WINDTUNNEL_BROKER_URL: Celery needs a broker; give the address of a Redis, such as redis://127.0.0.1:6379/0"
        )
    return settings.broker_url
