"""Estimates against jobs that were run: memory within 30 %, seconds and run-equivalents within a factor of two."""

from math import prod, sqrt
from typing import Any

import pytest

from hpo.estimators.facts.storage import Storage, replayed, states_kept, storage_in_force
from hpo.evidence.horizon import horizon_steps
from hpo.evidence.noise_scale import noise_scale_steps
from hpo.families.facts.registry import proxy_tensors
from hpo.families.registry import build
from hpo.footprint import memory
from hpo.footprint.measurements import MOST_AT_ONCE
from hpo.footprint.memory import Memory, at_once, plain_bytes, plain_members
from hpo.footprint.sizes import Sizes
from hpo.layout import Layout
from hpo.sizing import checks, work
from hpo.sizing.estimate import STARTUP_SECONDS, estimate
from hpo.sizing.hypergradients import hypergradient_bytes, hypergradient_cost
from hpo.sizing.peak import members_at_once
from hpo.study import Study
from hpo.training.space import Space
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec
from windtunnel.types.estimates import REFERENCE, MachineSpeed
from windtunnel.types.estimators import ESTIMATORS

GIB = 2**30
SPECS: dict[str, dict[str, Any]] = {
    "mlp, many steps": {
        "task": "mnist5k",
        "model": {"width": 128, "depth": 2},
        "inner": {"steps": 100, "batch_size": 16, "seeds": 2},
        "outer": {"steps": 1, "finish_seeds": 2, "scout": False},
        "method": {"estimator": "reverse", "checkpointing": "none"},
    },
    "mlp, several starts": {
        "task": "mnist5k",
        "model": {"width": 128, "depth": 2},
        "inner": {"steps": 60, "batch_size": 16, "seeds": 2},
        "outer": {"steps": 1, "finish_seeds": 2, "scout": False, "starts": 3},
        "method": {"estimator": "reverse", "checkpointing": "none"},
    },
    "transformer": {
        "task": "python-text",
        "model": {"width": 32, "depth": 1},
        "inner": {"steps": 10, "batch_size": 32, "seeds": 2},
        "outer": {"steps": 1, "finish_seeds": 2, "scout": False},
        "method": {"estimator": "reverse", "checkpointing": "sqrt"},
    },
    "resnet": {
        "task": "digits",
        "model": {"family": "resnet", "width": 16, "depth": 1},
        "inner": {"steps": 10, "batch_size": 128, "seeds": 2},
        # Enough runs at the end to fill a plain population, whatever points are left to judge; the next job has not.
        "outer": {"steps": 1, "finish_seeds": 32, "scout": False},
        "method": {"estimator": "reverse", "checkpointing": "sqrt"},
    },
    "mlp, delta_stn": {
        "task": "mnist5k",
        "model": {"width": 256, "depth": 2},
        "inner": {"steps": 60, "batch_size": 64, "seeds": 8},
        "outer": {"steps": 3, "finish_seeds": 8},
        "search": [{"name": "l2", "scope": "role"}, {"name": "dropout"}, {"name": "input_noise"}],
        "method": {"estimator": "delta_stn"},
        "parametrization": "standard",
        "transfer": {"noise_scale": False},
    },
    "resnet, few runs": {
        "task": "digits",
        "model": {"family": "resnet", "width": 16, "depth": 1},
        "inner": {"steps": 10, "batch_size": 128, "seeds": 2},
        "outer": {"steps": 1, "finish_seeds": 2, "scout": False},
        "method": {"estimator": "reverse", "checkpointing": "sqrt"},
    },
}


def between(first: dict[str, float], second: dict[str, float]) -> MachineSpeed:
    """What the machine gave while a job ran, from before and after: others may use it, too."""
    return MachineSpeed(**{name: sqrt(first[name] * second[name]) for name in first})


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_a_jobs_memory_and_time_are_what_was_estimated(measure, name) -> None:
    spec = JobSpec.model_validate(SPECS[name])
    found = measure(SPECS[name])
    guess = estimate(sized(spec), 4 * GIB, between(*found["speeds"]), "here", [])
    # A job's account leaves out its checks.
    runs = sum(part.run_equivalents for part in guess.phases if part.phase not in ("certify", "check"))
    seconds = guess.seconds - STARTUP_SECONDS
    told = f"{name}: {found['bytes'] / 1e6:.0f} MB (estimated {guess.memory.peak / 1e6:.0f}), "
    told += f"{found['seconds']:.1f} s (estimated {seconds:.1f}), "
    told += f"{found['run_equivalents']:.1f} runs (estimated {runs:.1f})"
    assert 1 / 1.3 < guess.memory.peak / found["bytes"] < 1.3, told
    assert 1 / 2 < seconds / found["seconds"] < 2, told
    assert 1 / 2 < runs / found["run_equivalents"] < 2, told


def sized(spec: JobSpec) -> Sizes:
    return Sizes.of(spec, spec.info)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("scope", ["global", "role", "tensor"])
def test_sizes_are_those_of_the_module_and_of_the_space(name, scope) -> None:
    searched = [{"name": part, "scope": scope} for part in ("learning_rate", "weight_decay", "init_scale", "l2")]
    fields = SPECS[name] | {
        "search": [*searched, {"name": "mixture_weight"}, {"name": "floor"}],
        "method": {"estimator": "reverse"},
    }
    spec = JobSpec.model_validate(fields)
    task = TASKS[spec.task]
    sizes, tensors = Sizes.of(spec, task), proxy_tensors(spec.model, task)
    assert sizes.parameters == sum(value.numel() for value in build(spec.model, task).parameters())
    assert sizes.parameters == Layout(tensors).parameters == sum(prod(fact.shape) for fact in tensors)
    assert sizes.coordinates == len(Space.from_spec(spec, tensors))


@pytest.mark.parametrize("steps", [2, 3, 10, 99, 100, 101, 1000])
def test_states_kept_are_between_the_root_and_all(steps) -> None:
    assert states_kept(steps, "none") == steps + 1
    assert 2 * sqrt(steps) <= states_kept(steps, "sqrt") <= 2 * sqrt(steps) + 4
    assert states_kept(steps, steps) == steps + 2
    assert replayed(steps, "none") == replayed(steps, 1) == 0
    assert 0 <= replayed(steps, "sqrt") < steps


@pytest.mark.parametrize("storage", ["none", "sqrt", 7])
@pytest.mark.parametrize("task", ["digits", "python-text"])
def test_a_hypergradient_costs_what_the_estimator_will_book(task: str, storage: str | int) -> None:
    spec = JobSpec.model_validate(
        {"task": task, "inner": {"steps": 50}, "method": {"estimator": "reverse", "checkpointing": storage}}
    )
    study = Study(spec)
    assert hypergradient_cost(sized(spec), 4 * GIB) == study.estimator.cost(study.problem)


def test_the_checks_of_a_transfer_count_what_they_do() -> None:
    plain = {"task": "digits", "inner": {"steps": 40}, "parametrization": "standard"}

    def check(**transfer: object) -> float:
        spec = JobSpec.model_validate({**plain, "transfer": {"noise_scale": False, **transfer}})
        return next(phase.plain for phase in work.phases(sized(spec), 4 * GIB) if phase.name == "check")

    spec = JobSpec.model_validate(plain)
    assert check() == 0 and check(noise_scale=True) == noise_scale_steps(40)
    assert check(horizons=3) == pytest.approx(horizon_steps(40, 3))
    # At the proxy's width alone a ladder costs what it runs; wider, by its multiply-adds.
    asked = {"widths": [16, 32, 64], "seeds": 2}
    each = sum(width * (64 + width + 10) for width in (16, 32, 64)) / (64 * (64 + 64 + 10))
    assert check(ladder=asked) == pytest.approx(5 * 2 * 40 * each, rel=0.02)
    assert check(ladder={**asked, "weight_decay": True, "standard": True}) == pytest.approx(3 * check(ladder=asked))
    assert spec.decays


@pytest.mark.parametrize("kind", [name for name in ESTIMATORS if name not in ("implicit", "stn", "delta_stn")])
def test_every_estimator_has_an_estimate_and_more_of_everything_takes_more(kind) -> None:
    def of(**inner: int) -> tuple[float, int]:
        spec = JobSpec(task="digits", inner={"steps": 100, "seeds": 2, **inner}, method={"estimator": kind})
        guess = estimate(sized(spec), 4 * GIB, None, None, [])
        assert guess.speed == REFERENCE and guess.measured_by is None
        return guess.seconds, guess.memory.peak

    (seconds, peak), (longer, _), (wider, more) = of(), of(steps=400), of(seeds=8, batch_size=256)
    assert seconds < longer and seconds < wider
    assert peak <= more


@pytest.mark.parametrize("kind", ["stn", "delta_stn"])
def test_a_best_response_takes_more_of_everything_with_more_to_answer_to(kind: str) -> None:
    def of(scope: str = "global", **inner: int) -> tuple[float, int]:
        fields = {"task": "digits", "inner": {"steps": 100, "seeds": 2, **inner}, "method": {"estimator": kind}}
        spec = JobSpec.model_validate({**fields, "search": [{"name": "l2", "scope": scope}]})
        return estimate(sized(spec), 4 * GIB, None, None, []).seconds, hypergradient_bytes(sized(spec), 4 * GIB)

    (seconds, peak), (longer, _), (_, wider) = of(), of(steps=400), of("tensor")
    assert seconds < longer and peak < wider < of(seeds=8)[1]


def test_a_best_response_costs_what_its_job_books() -> None:
    fields = {
        "task": "digits",
        "model": {"width": 8, "depth": 1},
        "inner": {"steps": 20, "seeds": 3, "batch_size": 32},
        "outer": {"steps": 3, "finish_seeds": 2},
        "parametrization": "standard",
        "transfer": {"noise_scale": False},
    }
    alone = {"search": [{"name": "l2"}], "method": {"estimator": "stn"}}
    spec = JobSpec.model_validate(fields | alone)
    study = Study(spec)
    booked = list(study)[-1].run_equivalents
    parts = {part.name: part.gradient_evaluations / 20 for part in work.phases(sized(spec), 4 * GIB)}
    assert booked == pytest.approx(parts["tune"]) and parts["scout"] == 0
    assert study.finish().cost.run_equivalents == pytest.approx(booked + parts["finish"])


def test_forward_memory_does_not_grow_with_the_steps_and_the_graphs_does() -> None:
    def peak(estimator: str, steps: int) -> int:
        spec = JobSpec(task="digits", inner={"steps": steps, "batch_size": 8}, method={"estimator": estimator})
        return hypergradient_bytes(sized(spec), 4 * GIB)

    assert peak("forward", 1000) < 1.1 * peak("forward", 100)
    assert peak("higher", 1000) > 5 * peak("higher", 100)


def test_a_plain_population_shrinks_where_activations_are_large() -> None:
    small, text = sized(JobSpec(task="digits")), sized(JobSpec(task="python-text"))
    assert plain_members(small) == 32
    assert plain_members(text) * Memory(text).plain <= 2**29 < (plain_members(text) + 1) * Memory(text).plain


def test_starts_are_differentiated_together_as_far_as_a_population_goes() -> None:
    def of(starts: int, **inner: int) -> JobSpec:
        # Without the checks for a transfer, which need more than the small populations here.
        fields = {
            "task": "digits",
            "parametrization": "standard",
            "inner": {"seeds": 4, **inner},
            "outer": {"starts": starts},
        }
        return JobSpec.model_validate({**fields, "method": {"estimator": "reverse", "checkpointing": "none"}})

    assert at_once(sized(of(1))) == sized(of(1))
    assert [at_once(sized(of(starts))).spec.inner.seeds for starts in (2, 8, 16)] == [8, 32, 32]
    assert at_once(sized(of(16, seeds=64))).spec.inner.seeds == 64
    memories = [estimate(sized(of(starts)), 4 * GIB, None, None, []).memory for starts in (1, 2, 8, 16)]
    one = memories[0].hypergradient
    assert [memory.hypergradient for memory in memories] == [one, 2 * one, 8 * one, 8 * one]
    assert memories[0].peak < memories[1].peak < memories[2].peak == memories[3].peak


def test_a_plain_population_counts_no_more_members_than_the_job_has_runs() -> None:
    def of(**outer: int | bool) -> JobSpec:
        return JobSpec(task="digits", inner={"seeds": 2}, outer=outer, method={"estimator": "reverse"})

    few = of(steps=1, finish_seeds=2, scout=False)
    # Six candidates race on the first seed; two points meet two seeds at the end; a scout sweeps sixteen rates.
    assert [members_at_once(sized(spec)) for spec in (few, of(steps=1, finish_seeds=2), of(finish_seeds=16))] == [6, 16, 32]
    guess = estimate(sized(few), 4 * GIB, None, None, []).memory
    assert guess.members == 6 and guess.plain == plain_bytes(sized(few), 6)


def test_the_checks_of_a_transfer_are_in_the_peak() -> None:
    spec = JobSpec(task="digits", inner={"steps": 10, "seeds": 1}, outer={"steps": 1, "finish_seeds": 2})
    usual = spec.model_copy(update={"parametrization": "standard"})
    guess, without = (estimate(sized(each), 4 * GIB, None, None, []).memory for each in (spec, usual))
    assert guess.checks == guess.peak > without.peak > without.checks
    # Never much above what its own bound on parameters at once allows.
    assert guess.checks <= 1.01 * checks.CHECKED * memory.BYTES * MOST_AT_ONCE


def test_auto_keeps_every_state_where_an_eighth_of_the_limit_holds_them() -> None:
    spec = JobSpec(task="digits")
    needed = 8 * (spec.inner.steps + 1) * Memory(sized(spec)).state * spec.inner.seeds
    assert storage_in_force(sized(spec), needed) == Storage("none")
    assert storage_in_force(sized(spec), needed - 8) == Storage("sqrt")
    asked = JobSpec(task="digits", method={"estimator": "reverse", "checkpointing": 7})
    assert storage_in_force(sized(asked), needed) == Storage(7)
