"""The application: routes, guard, problems, and the life of what they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.concurrency import run_in_threadpool

import windtunnel
from service.caller import needs_keys
from service.comparisons.routes import router as comparisons
from service.datasets.routes import router as datasets
from service.dependencies import SIGNED_IN
from service.estimates.routes import router as estimates
from service.fleet.routes import router as fleet
from service.health.routes import router as health
from service.jobs.routes import router as jobs
from service.keys.routes import router as keys
from service.keys.uses import KeyUses
from service.laws.routes import router as laws
from service.listings.routes import router as listings
from service.metrics.routes import router as metrics
from service.openapi import complete
from service.pages.assets import router as assets
from service.pages.routes import problem_page
from service.pages.routes import router as pages
from service.pages.signing_in import router as signing_in
from service.plans.routes import router as plans
from service.problems import answers
from service.proxying import Proxied
from service.rates import Rates
from service.retention import Janitor
from service.security import HEADERS, Guard
from service.settings import ServiceSettings
from service.turns import Places, Turns
from service.webhooks.routes import router as webhooks
from service.webhooks.sender import Sender
from store.database import Database


class Dispatcher(Protocol):
    """Runs jobs within the server's process, started and stopped with it."""

    @property
    def alive(self) -> bool:
        """True while it takes jobs."""

    def start(self) -> None:
        """Begin to take jobs."""

    def stop(self) -> None:
        """Let go of every job so that another worker can go on, and return when that is done."""


class Application(FastAPI):
    """FastAPI whose OpenAPI document is completed by hand."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            complete(super().openapi())
        return super().openapi()


def create_app(
    settings: ServiceSettings, *, database: Database | None = None, dispatcher: Dispatcher | None = None
) -> FastAPI:
    """The service over one database.

    Args:
        settings: where and for whom.
        database: an open database whose owner closes it; without one the app opens its own and closes it.
        dispatcher: lives as long as the app does.
    """
    shared = database or Database(settings.url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if dispatcher is not None:
            await run_in_threadpool(dispatcher.start)
        app.state.sender.start()
        app.state.key_uses.start()
        app.state.janitor.start()
        try:
            yield
        finally:
            app.state.stopping.set()
            await run_in_threadpool(app.state.sender.stop)
            await run_in_threadpool(app.state.key_uses.stop)
            await run_in_threadpool(app.state.janitor.stop)
            if dispatcher is not None:
                await run_in_threadpool(dispatcher.stop)
            if database is None:
                shared.dispose()

    app = Application(
        title="Windtunnel",
        version=windtunnel.__version__,
        description="Tune small, fly large.",
        lifespan=lifespan,
        # Their pages load scripts from other hosts, which the content security policy forbids.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.database = shared
    app.state.dispatcher = dispatcher
    app.state.sender = Sender(shared, settings)
    app.state.key_uses = KeyUses(shared)
    app.state.janitor = Janitor(shared, settings)
    app.state.stopping = asyncio.Event()
    app.state.reading = Turns()  # uploaded files are read one after the other: each takes a lot of memory
    app.state.checking = Turns()  # as are coordinate checks of given values: each takes a core
    app.state.uploads = Places(settings.max_uploads, "uploads")
    app.state.streams = Places(settings.max_streams, "event streams")
    app.state.problem_page = problem_page
    app.state.keyed = False
    app.state.rates = Rates(settings.requests_per_minute, settings.broker_url)
    app.add_middleware(
        Guard,
        allowed_hosts=settings.allowed_hosts,
        needs_keys=lambda: needs_keys(app.state, shared),
        upload_bytes=settings.max_dataset_bytes,
    )
    answers.install(app)
    for router in (
        comparisons,  # before the jobs, of which one could be called so
        jobs,
        plans,
        datasets,
        listings,
        estimates,
        fleet,
        laws,
        keys,
        webhooks,
        metrics,
        pages,
    ):
        app.include_router(router, dependencies=SIGNED_IN)
    for router in (health, assets, signing_in):
        app.include_router(router)
    app.add_middleware(
        Proxied,
        root_path=settings.root_path,
        proxies=settings.forwarded_allow_ips,
        own={(route.path or "/").split("/")[1] for route in iter_route_contexts(app.routes)},
        headers=HEADERS,
    )
    return app
