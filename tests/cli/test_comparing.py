"""``compare`` and the short ids that every command takes, against a real server."""

import json

import pytest

from windtunnel.client import Client, ValidationFailed


def test_two_jobs_are_compared_by_the_ends_of_their_ids(ask, server, finished):
    with Client(server.url) as client:
        other = client.jobs.create(task="digits", name="wider", model={"width": 32, "depth": 2}).cancel().id
    done = ask("compare", finished[-8:], other[-6:].upper())
    assert done.exit_code == 0
    told = done.stdout.splitlines()
    assert told[0].split() == ["small", "wider"]
    rows = {line.split("  ")[0]: line for line in told}
    assert rows["model.width"].split() == ["model.width", "16", "32"]
    assert rows["state"].split()[1] == "succeeded" and "–" in rows["test loss"]
    assert "too few points" in told[-1]
    found = json.loads(ask("compare", finished, other, "--json").stdout)
    assert [each["job"]["id"] for each in found["items"]] == [finished, other]
    assert found["items"][0]["points"]["complete"] and len(found["items"][0]["points"]["losses"]) > 2


@pytest.mark.parametrize("command", ["show", "pause", "resume", "follow", "bundle", "plan --width 64 --force"])
def test_every_command_on_a_job_takes_the_end_of_its_id(ask, finished, command):
    name, *options = command.split()
    done = ask(name, finished[-8:], *options)
    assert done.exit_code == 0, done.stderr
    assert ask(name, "zzzz", *options).exit_code == 4


def test_a_job_that_is_not_there_is_said_once(ask_idle):
    done = ask_idle("show", "nothing-like-it")
    assert done.exit_code == 4
    assert done.stderr.count("nothing-like-it") == 1 and len(done.stderr.strip().splitlines()) == 1


def test_a_job_is_labelled_and_found_by_its_tag_in_any_order(ask_idle, idle):
    with Client(idle) as client:
        job = client.jobs.create(task="digits", name="first").cancel()
        done = ask_idle("label", job.id[-8:], "--name", "second", "--tag", "Paper", "--tag", "b", "--notes", "so so")
        assert done.exit_code == 0 and "second, b paper" in done.stderr
        found = json.loads(ask_idle("list", "--tag", "paper", "--sort", "cost", "--order", "desc", "--json").stdout)
        assert [(each["id"], each["notes"]) for each in found] == [(job.id, "so so")]
        assert "b paper" in ask_idle("show", job.id).stdout
        assert ask_idle("label", job.id, "--untag", "--json").exit_code == 0 and job.refresh().tags == ()
        for wrong in ((), ("--untag", "--tag", "x"), ("--tag", "two words")):
            assert ask_idle("label", job.id, *wrong).exit_code == 2
        assert job.label(tags=["x"], notes="").notes == ""
        assert (job.name, job.tags) == ("second", ("x",))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.width=-1"], ["allowed: 4 to 8,192"]),
        (["model.widht=3"], ["did you mean 'width'?"]),
        (["model.width=-1", "model.depth=0"], ["allowed: 4 to 8,192", "allowed: 1 to 32"]),
        ([f"model.x{index}=1" for index in range(30)], ["unknown field 'x0'", "names the first 20"]),
    ],
)
def test_each_mistake_is_printed_once_by_the_command_line_and_by_python(ask_idle, idle, settings, said):
    done = ask_idle("submit", "--task", "digits", *[word for each in settings for word in ("--set", each)])
    assert done.exit_code == 2
    assert [done.stderr.count(each) for each in said] == [1] * len(said), done.stderr
    model = dict(each.removeprefix("model.").split("=") for each in settings)
    with Client(idle) as client, pytest.raises(ValidationFailed) as caught:
        client.jobs.create(task="digits", model={name: int(value) for name, value in model.items()})
    assert [str(caught.value).count(each) for each in said] == [1] * len(said), str(caught.value)
