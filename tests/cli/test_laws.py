"""``laws fit`` and ``laws allocate``, and the client beneath them, against a real server."""

import json
from pathlib import Path

import numpy as np
import pytest

import windtunnel
from windtunnel.client import Client, InvalidRequest, LawRefused, NotFound, ValidationFailed

N, D = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 5)))
LOSS = 1.8172 + 482.01 / N**0.3478 + 2085.43 / D**0.3658
CSV = "note,N,D,loss\n" + "".join(f"r,{n},{d},{loss}\n" for n, d, loss in zip(N, D, LOSS, strict=True))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs.csv").write_text(CSV)
    return tmp_path / "runs.csv"


def test_a_csv_becomes_a_table_of_constants_and_the_miss(ask_idle, runs):
    done = ask_idle("laws", "fit", str(runs), "--law", "hoffmann")
    assert done.exit_code == 0, done.stderr
    assert "hoffmann: L = E + A / N^alpha + B / D^beta" in done.stdout
    (alpha,) = [line.split() for line in done.stdout.splitlines() if line.startswith("alpha ")]
    assert float(alpha[1]) == pytest.approx(0.3478, rel=1e-3)
    assert "largest run, held out" in done.stdout and "ignored" in done.stdout


def test_a_fit_is_json_for_programs_and_can_be_shown_again_and_spent(ask_idle, runs):
    made = json.loads(ask_idle("laws", "fit", str(runs), "--law", "hoffmann", "--json").stdout)
    assert made["name"] == "runs"
    again = ask_idle("laws", "fit", made["id"], "--json")
    assert json.loads(again.stdout) == made
    plan = json.loads(ask_idle("laws", "allocate", "--flops", "1e21", "--fit", made["id"], "--json").stdout)
    assert [each["law"] for each in plan["allocations"]] == ["Kaplan", "Hoffmann", "yours: hoffmann"]


def test_best_sizes_read_off_the_runs_stand_beside_the_laws_and_the_budget(ask_idle, tmp_path):
    budgets = np.repeat(np.geomspace(1e18, 1e22, 5), 6)
    sizes = np.sqrt(budgets / 120) * np.tile(np.geomspace(0.3, 3, 6), 5)
    loss = 1.8172 + 482.01 / sizes**0.3478 + 2085.43 / (budgets / 6 / sizes) ** 0.3658
    rows = zip(sizes, budgets / 6 / sizes, loss, strict=True)
    (tmp_path / "iso.csv").write_text("N,D,loss\n" + "".join(f"{n},{d},{each}\n" for n, d, each in rows))
    made = json.loads(ask_idle("laws", "fit", "iso.csv", "--law", "hoffmann", "--json").stdout)
    (profile,) = made["profiles"]
    assert profile["method"] == "iso_flop" and profile["exponent"] == pytest.approx(0.3658 / 0.7136, abs=0.01)
    shown = ask_idle("laws", "fit", made["id"]).stdout
    assert "IsoFLOP profiles" in shown and "tokens a parameter" in shown
    plan = ask_idle("laws", "allocate", "--flops", "1e21", "--fit", made["id"]).stdout
    assert "Read off your runs by iso flop profiles" in " ".join(plan.split())


def test_a_narrow_table_is_fitted_on_demand_and_warns_wherever_it_is_used(ask_idle, tmp_path):
    narrow = "N,D,loss\n" + "".join(f"{n / 1e3},{d},{loss}\n" for n, d, loss in zip(N**0.3 * 1e6, D, LOSS, strict=True))
    (tmp_path / "narrow.csv").write_text(narrow)
    refused = ask_idle("laws", "fit", "narrow.csv", "--law", "hoffmann")
    assert refused.exit_code == 4 and "allow_narrow" in refused.stderr
    made = ask_idle("laws", "fit", "narrow.csv", "--law", "hoffmann", "--allow-narrow", "--tied-exponents")
    assert made.exit_code == 0, made.stderr
    assert "Warning: parameters spans a factor" in made.stdout and "one exponent for both sizes" in made.stdout
    fit = next(line.split()[1] for line in made.stdout.splitlines() if line.startswith("fit"))
    plan = ask_idle("laws", "allocate", "--flops", "1e21", "--fit", fit)
    assert "Warning: yours: hoffmann: parameters spans a factor" in " ".join(plan.stdout.split())


def test_an_allocation_shows_both_laws_their_powers_and_why_they_differ(ask_idle):
    done = ask_idle("laws", "allocate", "--money", "1000", "--price-per-hour", "2", "--flops-per-second", "4e14")
    assert done.exit_code == 0, done.stderr
    assert "C^0.73" in done.stdout and "C^0.50" in done.stdout
    assert "Why they differ" in done.stdout and "times as large a model" in done.stdout


def test_bad_tables_and_budgets_end_with_what_is_wrong(ask_idle, tmp_path):
    (tmp_path / "bad.csv").write_text("N,loss\n1e6,low\n")
    bad = ask_idle("laws", "fit", "bad.csv")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "column 'loss', row 1 is 'low', no number" in " ".join(bad.stderr.split())
    (tmp_path / "few.csv").write_text("N,loss\n1e6,3\n1e7,2\n")
    few = ask_idle("laws", "fit", "few.csv", "--law", "loss_parameters")
    assert few.exit_code == 4 and "give at least 4 runs" in " ".join(few.stderr.split())
    assert ask_idle("laws", "fit", "absent.csv").exit_code == 7
    mixed = ask_idle("laws", "fit", "few.csv", "job_00000000000000000000000000")
    assert mixed.exit_code == 7 and "few.csv among 2 sources" in mixed.stderr
    gone = ask_idle("laws", "fit", "job_00000000000000000000000000")
    assert gone.exit_code == 2 and "there is no job" in " ".join(gone.stderr.split())
    assert ask_idle("laws", "allocate").exit_code == 2


def test_the_client_takes_a_file_text_or_columns_and_lists_fits(idle, runs):
    with Client(idle) as client:
        options = {"laws": ["hoffmann"], "critical_batch": {"tokens": 2e8, "exponent": 0.21}}
        columns = {"parameters": N, "tokens": D, "loss": LOSS}
        fits = [
            client.laws.fit(runs, **options, held_out=False),
            client.laws.fit(CSV, **options, held_out=False),
            client.laws.fit(columns={name: values.tolist() for name, values in columns.items()}, **options, held_out=False),
        ]
        found = [fit.laws[0].constant("alpha") for fit in fits]
        assert found[0] == found[1]
        assert found[2].value == pytest.approx(found[0].value)
        assert fits[0].laws[0].held_out is None
        assert [each.id for each in client.laws.list()][:3] == [fit.id for fit in reversed(fits)]
        assert client.laws.get(fits[0].id) == fits[0]
        with pytest.raises(NotFound):
            client.laws.get("law_1")
        with pytest.raises(LawRefused, match="no law can be fitted"):
            client.laws.fit(columns={"loss": [1.0, 2.0]})
        with pytest.raises(ValidationFailed):
            client.laws.fit(jobs=["job_1"])
        with pytest.raises(InvalidRequest, match="exactly one table"):
            client.laws.fit()


def test_a_family_and_a_module_of_ones_own_are_counted_with_what_six_n_leaves_out(run, tmp_path):
    made = json.loads(run("laws", "count", "--family", "transformer", "--width", "48", "--depth", "2", "--json").stdout)
    assert made["non_embedding"] == 12 * 2 * 48**2 and made["left_out"].startswith("attention over the context")
    (tmp_path / "nets.py").write_text(
        "import torch\nbuild = lambda width: torch.nn.Sequential(torch.nn.Linear(7, width), torch.nn.Linear(width, 3))\n"
    )
    told = run("laws", "count", "nets:build", "--width", "64")
    assert told.exit_code == 0, told.stderr
    assert f"{8 * 64 + 65 * 3:,}" in told.stdout and "attention" in told.stdout
    assert run("laws", "count").exit_code == 2
    assert run("laws", "count", "--family", "gru").exit_code == 2
    assert run("laws", "count", "--family", "transformer", "--width", "3").exit_code == 2


def test_the_count_is_a_function_of_the_package():
    import torch

    found = windtunnel.count(lambda width: torch.nn.Linear(width, width), 32)
    assert found.parameters == 33 * 32 and found.compute(100, 10) == found.flops_per_token * 1000
