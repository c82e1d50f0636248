"""``workers`` and ``drain`` against a real server with a worker of its own."""

import json


def test_a_worker_is_listed(ask):
    (worker,) = json.loads(ask("workers", "--json").stdout)
    listed = ask("workers").stdout
    assert worker["id"].split(":")[0] in listed and not worker["draining"]


def test_nobody_is_drained_by_a_wrong_name(ask_idle):
    refused = ask_idle("drain", "nobody:1:2:0")
    assert refused.exit_code == 4 and "nobody:1:2:0" in refused.stderr
