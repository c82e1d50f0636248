"""A population that does not fit is refused with the field to shrink and a value that fits."""

import re

import pytest

from hpo.footprint.sizes import Sizes
from hpo.sizing import peak
from hpo.sizing.checks import coordinate_bytes
from service.jobs.admission import population_errors, size_in_words
from windtunnel.types import JobSpec

GIB = 2**30


def peak_bytes(spec: JobSpec, limit: int) -> int:
    return peak.peak_bytes(Sizes.of(spec, spec.info), limit)


REVERSE = {"estimator": "reverse"}


def test_default_job_fits():
    assert population_errors(JobSpec(task="digits"), 4 * GIB) == []


def test_value_named_as_the_largest_that_fits_is_the_largest_that_fits():
    spec = JobSpec(task="mnist5k", model={"width": 4096})
    errors = population_errors(spec, 4 * GIB)
    assert errors[0].pointer == "/model/width"
    assert errors[0].given == 4096
    assert "allowed: 4.0 GiB" in errors[0].message
    width = int(re.search(r"at most width ([\d,]+) fits", errors[0].message)[1].replace(",", ""))

    def needed(width: int) -> int:
        return peak_bytes(JobSpec(task="mnist5k", model={"width": width}), 4 * GIB)

    assert needed(width) <= 4 * GIB < needed(width + 1)


def test_every_field_that_suffices_alone_is_named_at_most_three_of_them():
    spec = JobSpec(task="synthetic", inner={"seeds": 64, "batch_size": 4096}, model={"width": 1024}, method=REVERSE)
    errors = population_errors(spec, 4 * GIB)
    assert 1 < len(errors) <= 3
    for error in errors:
        section, name = error.pointer.split("/")[1:]
        value = int(re.search(rf"at most {name} ([\d,]+) fits", error.message)[1].replace(",", ""))
        smaller = spec.model_dump(mode="json")
        smaller[section][name] = value
        assert peak_bytes(JobSpec.model_validate(smaller), 4 * GIB) <= 4 * GIB


def test_starts_count_as_members_and_fewer_of_them_are_offered():
    spec = JobSpec(task="mnist5k", model={"width": 256}, inner={"seeds": 2}, outer={"starts": 16}, method=REVERSE)
    limit = peak_bytes(spec, 1) * 8 // 10  # less than the leanest way takes
    assert population_errors(spec, 4 * GIB) == []
    errors = {error.pointer: error for error in population_errors(spec, limit)}
    starts = int(re.search(r"at most starts ([\d,]+) fits", errors["/outer/starts"].message)[1])

    def needed(starts: int) -> int:
        outer = {"starts": starts}
        return peak_bytes(
            JobSpec(task="mnist5k", model={"width": 256}, inner={"seeds": 2}, outer=outer, method=REVERSE), limit
        )

    assert 1 < starts < 16 and needed(starts) <= limit < needed(starts + 1)


def test_values_that_only_fit_together_fit_together():
    spec = JobSpec(
        task="mnist5k", model={"width": 8192, "depth": 32}, inner={"seeds": 64, "steps": 100_000}, method=REVERSE
    )
    errors = population_errors(spec, 4 * GIB)
    assert {"/model/width", "/inner/steps"} <= {error.pointer for error in errors}
    advice = re.search(r"for example, (.*) fit together", errors[0].message)[1]
    smaller = spec.model_dump(mode="json")
    sections = {"width": "model", "depth": "model", "seeds": "inner", "steps": "inner", "batch_size": "inner"}
    for part in re.findall(r"(\w+) ([\d,]+)(?:, |$)", advice):
        smaller[sections[part[0]]][part[0]] = int(part[1].replace(",", ""))
    assert peak_bytes(JobSpec.model_validate(smaller), 4 * GIB) <= 4 * GIB


def test_limit_below_any_job_is_said_to_be_so():
    errors = population_errors(JobSpec(task="mnist5k"), 1000)
    assert "the smallest job of this kind does not fit either" in errors[0].message


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (4 * GIB, "4.0 GiB"), (5000 * GIB, "5,000.0 GiB")],
)
def test_sizes_read_in_the_largest_unit_that_fits(size, words):
    assert size_in_words(size) == words


def test_a_best_response_that_does_not_fit_names_what_to_shrink():
    fields = {"task": "mnist5k", "model": {"width": 512}, "inner": {"seeds": 64}, "search": [{"name": "dropout"}]}
    alone = JobSpec.model_validate({**fields, "method": {"estimator": "delta_stn"}})
    errors = population_errors(alone, GIB)
    assert "/inner/seeds" in [error.pointer for error in errors]
    fewer = int(
        re.search(r"at most seeds ([\d,]+) fits", next(e.message for e in errors if e.pointer == "/inner/seeds"))[1]
    )
    assert 1 <= fewer < 64
    assert population_errors(alone.model_copy(update={"inner": alone.inner.model_copy(update={"seeds": fewer})}), GIB) == []
    both = {**fields, "search": [{"name": "dropout"}, {"name": "learning_rate"}]}
    turns = JobSpec.model_validate({**both, "method": {"estimator": "reverse", "best_response": "stn"}})
    assert peak_bytes(turns, GIB) >= peak_bytes(JobSpec.model_validate({**both, "method": REVERSE}), GIB)


def test_a_job_whose_checks_alone_do_not_fit_is_refused_with_what_asks_for_them():
    spec = JobSpec(task="digits", model={"width": 4, "depth": 1}, inner={"seeds": 1, "steps": 2, "batch_size": 1})
    needed = coordinate_bytes(Sizes.of(spec, spec.info))
    assert population_errors(spec, needed) == []
    (*_, error) = population_errors(spec, needed - 1)
    assert (error.pointer, error.given) == ("/parametrization", "mup")
    assert "coordinate check" in error.message and "WINDTUNNEL_MAX_POPULATION_BYTES" in error.message
    assert population_errors(spec.model_copy(update={"parametrization": "standard"}), needed - 1) == []


def test_a_job_that_can_shrink_no_further_is_refused_too():
    least = {
        "inner": {"seeds": 1, "steps": 2, "batch_size": 1},
        "outer": {"finish_seeds": 2},
        "transfer": {"noise_scale": False},
    }
    spec = JobSpec(task="digits", model={"width": 4, "depth": 1}, parametrization="standard", **least)
    (error,) = population_errors(spec, 1000)
    assert error.pointer == "/model/width" and "does not fit either" in error.message
