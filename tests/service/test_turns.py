"""One owner cannot take all streams or uploads of a server, and owners take turns at what is done one by one."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import httpx
import pytest

from service.app import create_app
from service.problems.answers import ProblemError
from service.serve import background
from service.turns import Places, Turns
from store import keys


@pytest.fixture
def narrow(sqlite, settings) -> Iterator[httpx.Client]:
    """A server on which an owner may follow two jobs and send one file at the same time."""
    small = settings.model_copy(update={"max_streams": 2, "max_uploads": 1})
    with background(create_app(small, database=sqlite)) as url, httpx.Client(base_url=url, timeout=10) as client:
        yield client


def test_streams_of_an_owner_are_limited_and_a_place_is_free_again_at_the_end(narrow, sqlite, work) -> None:
    job, other = work.queued(), work.queued()
    with sqlite.transaction() as s:
        mine, theirs = (
            {"authorization": f"Bearer {keys.create(s, 'test', owner=owner).key}"} for owner in ("local", "bob")
        )
    address = f"/v1/jobs/{job}/events"
    with contextlib.ExitStack() as held:
        for _ in range(2):
            held.enter_context(narrow.stream("GET", address, headers=mine))
        refused = narrow.get(address, headers=mine)
        assert (refused.status_code, refused.json()["type"]) == (429, "too-many-at-once")
        assert "allowed: 2" in refused.json()["detail"] and refused.headers["retry-after"]
        # What is no stream is answered, and so are others.
        assert narrow.get(address, headers=mine | {"accept": "application/json"}).status_code == 200
        assert narrow.get(f"/v1/jobs/{other}/events", headers=theirs).status_code == 404
    narrow.post(f"/v1/jobs/{job}/cancel", headers=mine)
    for _ in range(3):
        assert "event: cancelled" in narrow.get(address, headers=mine).text


def test_a_second_upload_at_the_same_time_is_refused(narrow, in_background) -> None:
    begun, go_on = threading.Event(), threading.Event()
    rows = b"a,target\n" + b"".join(b"%d,%d.5\n" % (row, row % 7) for row in range(60))

    def slowly() -> Iterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        begun.set()
        go_on.wait(10)
        yield rows + b"\r\n--x--\r\n"

    answers = []

    def send() -> None:
        kind = {"content-type": "multipart/form-data; boundary=x"}
        answers.append(httpx.post(f"{narrow.base_url}/v1/datasets", content=slowly(), headers=kind).status_code)

    with in_background(send):
        begun.wait(10)
        for _ in range(3):  # the first upload has come in before these, which take the same way
            narrow.get("/v1/jobs")
        refused = narrow.post("/v1/datasets", files={"file": ("b.csv", rows)})
        go_on.set()
    assert (refused.status_code, refused.json()["type"], answers) == (429, "too-many-at-once", [201])
    assert narrow.post("/v1/datasets", files={"file": ("b.csv", rows)}).status_code == 200


def test_owners_take_turns_whoever_sent_how_many() -> None:
    async def order() -> list[str]:
        turns, served = Turns(), list[str]()

        async def work(owner: str) -> None:
            async with turns.take(owner):
                served.append(owner)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(owner) for owner in ["ann"] * 4 + ["bob"] * 2 + ["eve"]))
        return served

    assert asyncio.run(order()) == ["ann", "ann", "bob", "eve", "ann", "bob", "ann"]


def test_one_who_goes_away_while_waiting_keeps_nobody_from_their_turn() -> None:
    async def served() -> list[str]:
        turns, done = Turns(), list[str]()

        async def work(owner: str) -> None:
            async with turns.take(owner):
                await asyncio.sleep(0.01)
                done.append(owner)

        tasks = [asyncio.create_task(work(owner)) for owner in ("ann", "bob", "eve")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(1):
            await work("again")
        return done

    assert asyncio.run(served()) == ["ann", "eve", "again"]


def test_places_are_each_owners_own() -> None:
    places = Places(1, "streams")
    with places.take("ann"), places.take("bob"), pytest.raises(ProblemError, match="1 streams open"), places.take("ann"):
        pass
    with places.take("ann"):
        pass
