"""The application for ``celery -A workers.celery_app worker``, with the settings of the environment."""

from store.settings import read
from workers.celery_worker import CeleryWorker
from workers.devices import present
from workers.settings import WorkerSettings

app = CeleryWorker(present(read(WorkerSettings))).app
