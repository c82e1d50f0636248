"""Registers what a law foretells of a run before the run, as a file under its hash, and settles it by the loss reached."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

from hpo.errors import Refused
from hpo.laws.predicting import predict
from hpo.laws.trust import check_floor, warnings_of
from windtunnel.types.forecasts import Forecast, Settlement
from windtunnel.types.laws import MOST_TO_LEAST, LawFit, LawName, LawPoint

LEAST_HASH = 8
"""Characters of a hash that name a forecast at least."""


def forecast(fit: LawFit, run: str, at: LawPoint, law: LawName | None = None) -> Forecast:
    """The forecast of a run by a law of a fit.

    Args:
        fit: the fit.
        run: name of the run.
        at: sizes of the run.
        law: name of the law; None: the one that uses most of the given sizes.

    Raises:
        Refused: the fit has no such law, the run lacks one of its sizes, or the law's floor is above a loss that was seen.
    """
    given = {name for name, value in at if value is not None}
    fitted = [each for name in MOST_TO_LEAST if (each := fit.law(name)) is not None and law in (None, name)]
    chosen = next((each for each in fitted if set(each.inputs) <= given), None)
    if chosen is None:
        needs = "; ".join(f"{each.law} needs {' and '.join(each.inputs)}" for each in fitted)
        named = f"no law {law}" if law and not fitted else f"no law for {' and '.join(sorted(given)) or 'no sizes'}"
        raise Refused(f"fit {fit.id} has {named}", needs or f"it has {', '.join(each.law for each in fit.laws)}")
    check_floor(chosen)
    told = predict(chosen, at)
    factors = {name: getattr(at, name) / most for name, most in zip(chosen.inputs, chosen.largest, strict=True)}
    return Forecast(
        run=run,
        created_at=datetime.now(UTC),
        fit=fit.id,
        law=chosen.law,
        formula=chosen.formula,
        constants=chosen.constants,
        at=at,
        value=told.value,
        low=told.low,
        high=told.high,
        run_low=told.run_low,
        run_high=told.run_high,
        beyond={name: factor for name, factor in factors.items() if factor > 1},
        warnings=warnings_of(chosen),
    )


def keep(made: Forecast, folder: Path) -> Path:
    """Write a forecast under its hash; the file.

    Raises:
        Refused: the run has a forecast in this folder: a second would be a choice afterwards.
    """
    others = [path for path, other in _all(folder) if other.run == made.run]
    if others:
        message = f"run {made.run} has a forecast already, {others[0].name}"
        raise Refused(message, "name another run, or another folder")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made.hash}.json"
    path.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def settle(run: str, actual: float, folder: Path) -> Settlement:
    """The miss of the forecast of a run, kept beside it; settled once.

    Args:
        run: name of the run, or the beginning of its forecast's hash.
        actual: loss that the run reached, nats.
        folder: where forecasts are kept.

    Raises:
        Refused: there is no forecast of the run, its file was changed, or it is settled with another loss.
    """
    if not (math.isfinite(actual) and actual > 0):
        raise Refused(f"the loss {actual} is no positive, finite number", "give the loss that the run reached, in nats")
    found = [
        (path, each)
        for path, each in _all(folder)
        if each.run == run or (len(run) >= LEAST_HASH and path.stem.startswith(run))
    ]
    if len(found) != 1:
        known = ", ".join(sorted(each.run for _, each in _all(folder))) or "none"
        raise Refused(f"{len(found)} forecasts of {run} in {folder}", f"forecasts there are of: {known}")
    path, told = found[0]
    low, high = told.run_low, told.run_high
    made = Settlement(
        forecast=told.hash,
        run=told.run,
        settled_at=datetime.now(UTC),
        actual=actual,
        predicted=told.value,
        miss=told.value / actual - 1,
        within=None if low is None or high is None else low <= actual <= high,
    )
    kept = path.with_suffix(".settled.json")
    if kept.exists():
        before = Settlement.model_validate_json(kept.read_text(encoding="utf-8"))
        if before.actual != actual:
            raise Refused(f"run {told.run} is settled with {before.actual:g}", f"delete {kept} if that was a mistake")
        return before
    kept.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return made


def _all(folder: Path) -> list[tuple[Path, Forecast]]:
    """Forecasts of a folder.

    Raises:
        Refused: a file is no forecast, or not the one that its name is the hash of.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(".settled.json"):
            continue
        try:
            made = Forecast.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise Refused(f"{path} is no forecast: {str(error).splitlines()[0]}", "move it elsewhere") from error
        if made.hash != path.stem:
            raise Refused(f"{path} was changed: its hash is {made.hash[:12]}...", "a changed forecast settles nothing")
        found.append((path, made))
    return found
