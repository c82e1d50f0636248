"""The coordinate check of the Llama family: muP passes and the standard parametrization fails."""

from typing import Any

import pytest

from hpo.evidence.coordcheck import coordinate_check
from windtunnel.types import JobSpec

SMALL: dict[str, Any] = {"family": "llama", "depth": 1, "d_head": 8}


def spec(model: dict[str, Any], **fields: Any) -> JobSpec:
    return JobSpec.model_validate({"task": "python-text", "model": SMALL | model} | fields)


@pytest.mark.parametrize(
    "model", [{}, {"gqa_ratio": 2, "norm_gains": True, "qk_norm": True}], ids=["plain", "grouped, gains"]
)
def test_it_passes_under_mup_and_fails_under_standard_parametrization(model: dict[str, Any]) -> None:
    """Widths are large against the tokens of the batch, or updates of queries, coherent over tokens, still fall."""
    mup = coordinate_check(spec(model), {}, [96, 192, 384])
    assert mup.verdict == "pass", mup.reasons
    standard = coordinate_check(spec(model, parametrization="standard"), {}, [32, 64, 128], seeds=2)
    assert standard.verdict == "fail"
    hidden = {name: slope.slope for name, slope in standard.last("change").items() if name.endswith((".o", ".down", ".v"))}
    assert len(hidden) == 3 and all(slope > 0.3 for slope in hidden.values()), hidden
