"""A forecast is kept under its hash before the run, and settles once, with the miss."""

import json
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import Refused
from hpo.laws.fit import fit_laws
from hpo.laws.forecasting import forecast, keep, settle
from windtunnel.types.laws import LawFit, LawFitRequest, LawPoint

N, D = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 5)))
FAR = LawPoint(parameters=1e11, tokens=1e13)
TRUTH = 1.8172 + 482.01 / 1e11**0.3478 + 2085.43 / 1e13**0.3658


def fitted(low: float | None = None) -> LawFit:
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(len(N)))
    loss = (1.8172 + 482.01 / N**0.3478 + 2085.43 / D**0.3658) * noise
    loss[3] = low or loss[3]
    columns = {"parameters": N.tolist(), "tokens": D.tolist(), "loss": loss.tolist()}
    laws, refusals = fit_laws(LawFitRequest.model_validate({"columns": columns, "laws": ["hoffmann", "loss_parameters"]}))
    stamp = {"id": "law_1", "name": "", "created_at": "2026-01-01T00:00:00Z", "rows": len(N), "seconds": 0.0}
    return LawFit(**stamp, columns=list(columns), laws=laws, refusals=refusals)


def test_a_forecast_holds_the_truth_and_settles_with_the_miss(tmp_path: Path) -> None:
    made = forecast(fitted(), "large", FAR)
    assert made.value == pytest.approx(TRUTH, rel=0.02) and made.beyond["parameters"] == pytest.approx(100)
    path = keep(made, tmp_path / "forecasts")
    assert path.stem == made.hash
    found = settle("large", TRUTH, path.parent)
    assert found.miss == pytest.approx(made.value / TRUTH - 1) and found.within and found.forecast == made.hash
    assert settle(made.hash[:12], TRUTH, path.parent) == found
    with pytest.raises(Refused, match="is settled with"):
        settle("large", 1.1 * TRUTH, path.parent)
    far_off = forecast(fitted(), "other", FAR)
    keep(far_off, path.parent)
    assert settle("other", 1.3 * TRUTH, path.parent).within is False


@pytest.mark.parametrize("field", ["value", "run_high", "created_at", "law", "run"])
def test_a_changed_forecast_settles_nothing(tmp_path: Path, field: str) -> None:
    path = keep(forecast(fitted(), "large", FAR), tmp_path)
    kept = json.loads(path.read_text())
    others = {"value": 2.0, "run_high": 9.0, "created_at": "2020-01-01T00:00:00Z", "law": "loss_tokens", "run": "x"}
    kept[field] = others[field]
    path.write_text(json.dumps(kept))
    with pytest.raises(Refused, match="was changed"):
        settle("large", TRUTH, tmp_path)


def test_what_cannot_be_foretold_or_settled_is_refused(tmp_path: Path) -> None:
    fit = fitted()
    keep(forecast(fit, "large", FAR), tmp_path)
    with pytest.raises(Refused, match="has a forecast already"):
        keep(forecast(fit, "large", LawPoint(parameters=1e12, tokens=1e13)), tmp_path)
    with pytest.raises(Refused, match="no law for tokens; hoffmann needs parameters and tokens"):
        forecast(fit, "large", LawPoint(tokens=1e13))
    with pytest.raises(Refused, match="has no law loss_compute"):
        forecast(fit, "large", FAR, "loss_compute")
    with pytest.raises(Refused, match="no run falls below a floor"):
        forecast(fitted(low=1.2), "large", FAR)
    with pytest.raises(Refused, match=r"0 forecasts of small .*; forecasts there are of: large"):
        settle("small", 2.0, tmp_path)
    with pytest.raises(Refused, match="no positive, finite number"):
        settle("large", float("nan"), tmp_path)
