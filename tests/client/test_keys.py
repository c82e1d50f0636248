"""``client.keys`` against a server that asks for keys, by both twins."""

import asyncio

import pytest

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import keys, schema
from store.database import Database
from windtunnel import AsyncClient, Client, ValidationFailed
from windtunnel.client import Unauthorized


def test_a_key_makes_another_which_works_until_it_is_revoked(tmp_path):
    settings = ServiceSettings(data_dir=tmp_path)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    with database.transaction() as s:
        first = keys.create(s, "first", owner="ann", operator=0).key
    with background(create_app(settings, database=database)) as url:
        with Client(url, api_key=first) as client:
            made = client.keys.create("laptop")
            assert (made.owner, made.name, made.operator) == ("ann", "laptop", False)
            with pytest.raises(ValidationFailed, match="/name"):
                client.keys.create("")

        async def by_the_twin() -> None:
            async with AsyncClient(url, api_key=made.key) as client:
                assert [(key.name, key.revoked_at) for key in await client.keys.list()] == [
                    ("first", None),
                    ("laptop", None),
                ]
                ended = await client.keys.revoke(made.id)
                assert ended.revoked_at is not None
                with pytest.raises(Unauthorized):
                    await client.keys.list()

        asyncio.run(by_the_twin())
    database.dispose()
