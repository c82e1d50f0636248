"""The outbox of webhooks: one attempt for each message however many servers ask, owners in turn, nothing from the dead."""

import threading

import pytest
from sqlalchemy import select, text

from store import deliveries, events, jobs, leases, webhooks
from store.database import Database
from store.deliveries import Attempt, Outcome
from store.errors import TooManyPings, WebhookNotFound
from store.keys import LOCAL
from store.leases import Lease
from store.tables import webhook_deliveries
from store.tables import webhooks as webhook_table
from windtunnel.types import Failure, JobSpec


def hook(database: Database, owner: str, *kinds: str) -> str:
    with database.transaction() as s:
        made = webhooks.create(
            s, owner=owner, name="", url="https://example.com/", events=kinds or ("job.queued",), most=99
        )
    return made.id


def submit(database: Database, owner: str, count: int = 1) -> None:
    for _ in range(count):
        with database.transaction() as s:
            jobs.submit(s, JobSpec(task="digits"), owner=owner)


def claim(database: Database, limit: int, hold: float = 60.0, busy: tuple[str, ...] = ()) -> list[Attempt]:
    with database.transaction() as s:
        return deliveries.claim(s, limit, hold, busy)


def record(database: Database, attempt: Attempt, outcome: Outcome, again_in: float | None = 0.0) -> None:
    with database.transaction() as s:
        deliveries.record(s, attempt, outcome, again_in)


def states(database: Database, webhook_id: str) -> list[tuple[str, int]]:
    with database.snapshot() as s:
        owner = s.scalar(select(webhook_table.c.owner).where(webhook_table.c.id == webhook_id))
        assert owner is not None
        return [(each.state, each.attempts) for each in deliveries.newest_first(s, webhook_id, 100, owner=owner)]


def test_many_servers_at_once_try_each_message_once(database: Database) -> None:
    hooks = [hook(database, "ada") for _ in range(12)]
    submit(database, "ada")
    claimed: list[Attempt] = []
    together = threading.Barrier(4)

    def server() -> None:
        together.wait()
        claimed.extend(claim(database, 12))

    threads = [threading.Thread(target=server) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(attempt.webhook_id for attempt in claimed) == sorted(hooks)


def test_one_message_a_webhook_at_a_time_the_oldest_first_and_none_for_a_busy_one(database: Database) -> None:
    first, second = hook(database, "ada"), hook(database, "ada")
    submit(database, "ada", 3)
    assert {attempt.webhook_id for attempt in claim(database, 10)} == {first, second}
    (attempt,) = claim(database, 10, busy=(first,))
    assert attempt.webhook_id == second
    with database.snapshot() as s:
        of_second = [each.id for each in deliveries.newest_first(s, second, 10, owner="ada")]
    assert attempt.message_id == of_second[1]


def test_owners_take_turns_however_many_webhooks_each_has(database: Database) -> None:
    many = [hook(database, "ada") for _ in range(4)]
    few = hook(database, "bob")
    submit(database, "ada")
    submit(database, "bob")
    claimed = [attempt.webhook_id for attempt in claim(database, 2)]
    assert few in claimed and len(set(claimed) & set(many)) == 1


def test_an_attempt_whose_server_died_comes_up_again_and_the_dead_write_nothing(database: Database) -> None:
    to = hook(database, "ada")
    submit(database, "ada")
    (dead,) = claim(database, 1, hold=0.0)
    (alive,) = claim(database, 1, hold=60.0)
    assert (dead.message_id, dead.number, alive.number) == (alive.message_id, 1, 2)
    record(database, dead, Outcome(status=200))
    assert states(database, to) == [("pending", 2)]
    record(database, alive, Outcome(status=200))
    record(database, dead, Outcome(error="late"), None)
    assert states(database, to) == [("delivered", 2)]


def test_what_fails_comes_up_again_until_it_may_not(database: Database) -> None:
    to = hook(database, "ada")
    submit(database, "ada")
    for again_in in (0.0, 0.0, None):
        (attempt,) = claim(database, 1)
        record(database, attempt, Outcome(error="no connection"), again_in)
    assert states(database, to) == [("failed", 3)]
    assert claim(database, 1) == []


def test_a_pause_lasts(database: Database) -> None:
    hook(database, "ada")
    submit(database, "ada")
    record(database, claim(database, 1)[0], Outcome(error="no connection"), 60.0)
    assert claim(database, 1) == []
    with database.snapshot() as s:
        assert not deliveries.any_due(s)


def test_the_oldest_ended_deliveries_are_forgotten(database: Database) -> None:
    to = hook(database, "ada")
    submit(database, "ada", deliveries.KEPT + 3)
    with database.transaction() as s:
        newest = s.scalar(select(webhook_deliveries.c.id).order_by(webhook_deliveries.c.id.desc()))
        others = (webhook_deliveries.c.id != newest,)
        ended = {"state": "failed", "next_attempt_at": None, "ended_at": 1.0}
        s.execute(webhook_deliveries.update().where(*others).values(**ended))
    record(database, claim(database, 1)[0], Outcome(status=204))
    found = states(database, to)
    assert len(found) == deliveries.KEPT and found[0] == ("delivered", 1)


def test_every_end_of_a_job_is_told_in_its_own_transaction(database: Database, lease: Lease) -> None:
    hook(database, "local", "job.failed", "job.crashed", "job.requeued", "job.started")
    with database.transaction() as s:
        leases.crashed(s, lease, Failure(type="crashed", message="signal 9"))
        told = [row.type for row in s.execute(select(webhook_deliveries.c.type).order_by(webhook_deliveries.c.id))]
    assert told == ["job.crashed", "job.requeued"]
    with database.transaction() as s:
        second = leases.claim(s, lease.job_id, "worker-2", 60)
        assert second is not None
        leases.fail(s, second, Failure(type="refused", message="no", hint="yes"))
    with database.snapshot() as s:
        bodies = s.scalars(select(webhook_deliveries.c.body).order_by(webhook_deliveries.c.id)).all()
        assert (
            '"hint": "yes"' in bodies[-1]
            and f'"seq": {events.after(s, lease.job_id, 0, owner=LOCAL)[-1].seq}' in bodies[-1]
        )


def test_outer_steps_put_nothing_into_the_outbox(database: Database, lease: Lease) -> None:
    hook(database, "local", "job.started")
    with database.transaction() as s:
        events.append(s, lease.job_id, "outer_step", {})
        assert s.scalar(text("SELECT count(*) FROM webhook_deliveries")) == 0


def test_deleting_waits_for_who_is_telling_it_something(database: Database) -> None:
    to = hook(database, "local")
    deleted = threading.Event()

    def delete() -> None:
        with database.transaction() as s:
            webhooks.remove(s, to, owner="local")
        deleted.set()

    thread = threading.Thread(target=delete)
    with database.transaction() as s:
        jobs.submit(s, JobSpec(task="digits"), owner=LOCAL)
        thread.start()
        assert not deleted.wait(0.1)
    thread.join()
    with database.snapshot() as s:
        assert deliveries.newest_first(s, to, 10, owner="local") == []
        with pytest.raises(WebhookNotFound):
            webhooks.get(s, to, owner="local")


def test_so_many_test_messages_to_one_webhook_wait_and_no_more(database: Database) -> None:
    with database.transaction() as s:
        full, other = (
            webhooks.create(s, owner=LOCAL, name="", url="https://example.com/", events=["job.queued"], most=9).id
            for _ in range(2)
        )
        for _ in range(deliveries.MOST_PINGS):
            deliveries.ping(s, full, owner=LOCAL)
        with pytest.raises(TooManyPings, match="allowed: 5"):
            deliveries.ping(s, full, owner=LOCAL)
        deliveries.ping(s, other, owner=LOCAL)
