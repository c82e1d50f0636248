"""Notes of an estimate: what its numbers do not say."""

import pytest

from hpo.sizing.estimate import notes
from windtunnel.types import JobSpec


def test_a_job_that_asks_for_nothing_unusual_has_no_notes() -> None:
    assert notes(JobSpec(task="digits")) == []


def test_a_field_of_old_is_said_before_the_other_notes() -> None:
    with pytest.warns(DeprecationWarning, match="out of date"):
        spec = JobSpec.model_validate({"task": "digits", "method": {"engine": "higher"}, "outer": {"early_stopping": True}})
    first, second = notes(spec)
    assert "method.engine is out of date" in first and "method.estimator is 'higher'" in first
    assert "outer.early_stopping" in second
