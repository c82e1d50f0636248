"""The ladder certificate: runs at another width against a plain torch loop, verdicts, what a drift would cost."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from hpo.evidence.drift import decays, ladder_certificate
from hpo.evidence.scaled import ScaledProblem
from hpo.families.registry import build
from hpo.footprint.measurements import FACTORS
from hpo.mup.penalty import drift_verdict, predicted_penalty
from hpo.study import Study
from hpo.tasks import load
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec
from windtunnel.types.checks.transfer import ladder_widths
from windtunnel.types.ladders import Ladder, LadderRung
from windtunnel.types.transfer import LadderSpec

VALUES = {
    "learning_rate.input": 0.02,
    "learning_rate.hidden": 0.01,
    "learning_rate.vector": 0.03,
    "learning_rate.output": 0.005,
    "learning_rate.scalar": 0.015,
    "weight_decay.input": 0.1,
    "weight_decay.hidden": 0.3,
    "weight_decay.output": 0.05,
}


def spec_of(**changes: object) -> JobSpec:
    given = {"task": "digits", "model": {"width": 8, "depth": 2}, "inner": {"steps": 6, "batch_size": 16}, **changes}
    return JobSpec.model_validate(given)


def test_the_wide_run_is_that_of_a_torch_loop_with_the_table_by_hand() -> None:
    """AdamW at four times the width: hidden lr / 4, decay * 4, eps / 4, readout times 1/4, init std / 2."""
    spec = spec_of()
    data = load("digits")
    problem = ScaledProblem(spec, VALUES, 32, data, torch.float64)
    draw = problem.draw([(1, 2, 3, 4)])
    trained = problem.train(torch.zeros(1, 2, dtype=torch.float64), draw)
    model = build(spec.model.model_copy(update={"width": 32}), TASKS["digits"]).double()
    start = dict(zip(problem.layout.names, problem.layout.split(draw.noise), strict=True))
    groups = []
    for name, parameter in model.named_parameters():
        fact = next(fact for fact in problem.layout.tensors if fact.name == name)
        parameter.data.copy_(start[name][0])
        hidden = fact.role == "hidden"
        rate = VALUES[f"learning_rate.{fact.role}"] / (4 if hidden else 1)
        decay = VALUES.get(f"weight_decay.{fact.role}", 0.0) * (4 if hidden else 1)
        eps = 1e-8 / (1 if fact.role == "scalar" else 4)
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay, "eps": eps})
    hidden_std = float(start["layers.1.weight"].std())
    assert hidden_std == pytest.approx(math.sqrt(2 / 8) / 2, rel=0.1)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999))
    table = problem.coefficients(torch.zeros(1, 2))
    peak = float(VALUES["learning_rate.input"])
    schedule = table.scheduled["learning_rate"][:, 0, 0] / peak
    rates = [group["lr"] for group in optimizer.param_groups]
    for step in range(6):
        batch = problem.batch(draw, step)
        hidden = batch.inputs[0]
        for layer in model.layers:
            hidden = torch.relu(layer(hidden))
        logits = nn.functional.linear(hidden, model.readout.weight / 4, model.readout.bias)
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, batch.labels[0]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * float(schedule[step])
        optimizer.step()
    ours = dict(zip(problem.layout.names, problem.layout.split(trained.parameters), strict=True))
    for name, parameter in model.named_parameters():
        assert torch.allclose(ours[name][0], parameter.data, rtol=1e-7, atol=1e-9), name


def test_at_the_proxy_s_own_width_the_run_is_the_proxy_s() -> None:
    spec = spec_of()
    problem = ScaledProblem(spec, VALUES, 8, load("digits"), torch.float64)
    assert all(ratio == 1 for ratios in problem.ratios.values() for ratio in ratios)
    own = Study(spec, dtype=torch.float64).problem
    draw = own.draw([(5, 6, 7, 8)])
    theirs = own.train(own.space.from_dict(VALUES)[None], draw).parameters
    assert torch.equal(problem.train(torch.zeros(1, 2), draw).parameters, theirs)


@pytest.mark.parametrize("decay", ["decoupled", "independent"])
def test_the_factors_act_on_rates_and_decays(decay: str) -> None:
    spec = spec_of(optimizer={"decay": decay})
    problem = ScaledProblem(spec, VALUES, 8, load("digits"), torch.float64)
    plain = problem.coefficients(torch.zeros(1, 2))
    moved = problem.coefficients(torch.tensor([[math.log(2.0), 0.0], [0.0, math.log(3.0)]]))
    rates, shrinks = moved.scheduled["learning_rate"], moved.scheduled["shrink"]
    base_rates, base_shrinks = plain.scheduled["learning_rate"], plain.scheduled["shrink"]
    assert torch.allclose(rates[:, :1], 2 * base_rates) and torch.allclose(rates[:, 1:], base_rates)
    # lr * lambda doubles with the rate where the step is lr * lambda * w; lambda * w does not know of the rate.
    assert torch.allclose(shrinks[:, :1], (2 if decay == "decoupled" else 1) * base_shrinks)
    assert torch.allclose(shrinks[:, 1:], 3 * base_shrinks)


def test_a_small_ladder_holds_every_run_and_counts_its_cost() -> None:
    spec, steps = spec_of(), []
    found = ladder_certificate(
        spec,
        VALUES,
        LadderSpec(widths=(8, 16, 32), seeds=2, weight_decay=True, standard=True),
        population=8,
        on_step=steps.append,
    )
    for ladder in (found.learning_rate, found.weight_decay, found.standard):
        assert ladder is not None and [rung.width for rung in ladder.rungs] == [8, 16, 32]
        assert all(len(rung.losses) == len(FACTORS) and len(rung.losses[0]) == 2 for rung in ladder.rungs)
    assert sum(steps) == 3 * 3 * len(FACTORS) * 2 * 6
    # 64 inputs and 10 outputs beside one hidden matrix: 656, 1440 and 3392 entries.
    assert found.run_equivalents == pytest.approx(3 * 2 * len(FACTORS) * (656 + 1440 + 3392) / 656)
    assert found.standard is not None and found.standard.parametrization == "standard"
    at_home = [ladder.rungs[0].losses for ladder in (found.learning_rate, found.standard)]
    assert at_home[0] == at_home[1]


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"transfer": {"ladder": {"widths": [8, 16]}}}, "widths", "at least 3"),
        ({"transfer": {"ladder": {"widths": [8, 32, 16]}}}, "widths", "do not rise"),
        ({"transfer": {"ladder": {"seeds": 1}}}, "seeds", "greater than or equal to 2"),
        ({"transfer": {"ladder": {}}, "optimizer": {"name": "adam"}}, "/transfer/ladder", "L2 decay inside adam"),
        ({"transfer": {"ladder": {}}, "regularization": {"l2": 0.1}}, "/transfer/ladder", "L2 penalty under adamw"),
        ({"transfer": {"horizons": 2}}, "/transfer/horizons", "6 steps"),
    ],
)
def test_what_could_only_fail_after_the_tuning_is_refused_before(changes, pointer: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec_of(**changes)
    assert words in str(caught.value) and pointer in str(caught.value.errors())


def test_a_ladder_does_not_cut_heads() -> None:
    with pytest.raises(ValidationError, match="no multiple of d_head 16"):
        JobSpec.model_validate({"task": "python-text", "transfer": {"ladder": {"widths": [16, 24, 32]}}})


def test_the_default_widths_keep_heads_whole() -> None:
    assert ladder_widths(spec_of(model={"width": 64}).model, LadderSpec()) == [32, 64, 128, 256]
    text = JobSpec.model_validate({"task": "python-text", "model": {"width": 48, "d_head": 16}})
    assert ladder_widths(text.model, LadderSpec()) == [48, 96, 192]


def test_what_is_not_decayed_is_not_varied() -> None:
    assert decays(spec_of(), VALUES) and not decays(spec_of(), {"weight_decay": 0.0})
    assert not decays(spec_of(optimizer={"weight_decay": 0.0}, search=[{"name": "learning_rate"}]), {"learning_rate": 0.1})


@pytest.mark.parametrize(
    ("drift", "low", "high", "verdict"),
    [
        (0.1, -0.1, 0.3, "pass"),
        (0.3, 0.1, 0.5, "pass"),
        (0.3, -0.2, 0.8, "inconclusive"),
        (0.7, -0.1, 1.5, "inconclusive"),
        (0.7, 0.3, 1.1, "fail"),
        (-1.0, -1.2, -0.8, "fail"),
    ],
)
def test_the_verdict_on_a_drift(drift: float, low: float, high: float, verdict: str) -> None:
    assert drift_verdict(drift, low, high) == verdict


def ladder(drift: float | None, low: float | None, high: float | None, curvature: float = 0.1) -> Ladder:
    rungs = [LadderRung(width=width, losses=[], optimum=0.0, low=None, high=None) for width in (8, 16, 32)]
    return Ladder(
        quantity="learning_rate", parametrization="mup", rungs=rungs, drift=drift, low=low, high=high,
        curvature=curvature, verdict="pass",
    )  # fmt: skip


def test_the_penalty_is_that_of_the_parabola() -> None:
    found = predicted_penalty(ladder(0.2, -0.1, 0.5), 8, 64)
    assert found is not None and found.displacement == pytest.approx(0.6)
    assert found.share == pytest.approx(math.expm1(0.1 * 0.36))
    assert found.low == 0 and found.high == pytest.approx(math.expm1(0.1 * 2.25))
    down = predicted_penalty(ladder(-0.3, -0.4, -0.2), 8, 32)
    assert down is not None and down.low == pytest.approx(math.expm1(0.1 * 0.16)) and down.high > down.share > down.low
    assert predicted_penalty(ladder(None, None, None), 8, 64) is None
    assert "do not tell" in ladder(None, None, None).sentence and "+0.20" in ladder(0.2, -0.1, 0.5).sentence
