"""Every contender of benchmarks/peers differentiates one and the same run."""

import math

import pytest
import torch

from benchmarks.peers.contenders import CONTENDERS, REFERENCE, Outcome
from benchmarks.peers.problem import MODELS, OPTIMIZERS, Optimizer, Run, build

STEPS = 12
EXACT = ("reverse, every state", "reverse, sqrt states", "higher", "torchopt")


def one_run(optimizer: Optimizer) -> Run:
    torch.set_num_threads(1)
    return build(next(iter(MODELS)), optimizer, STEPS)


def outcome(contender: str, run: Run) -> Outcome:
    if contender == "torchopt":
        pytest.importorskip("torchopt", reason="torchopt is installed by make peers only")
    return CONTENDERS[contender](run)()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("contender", EXACT)
def test_unrolled_derivatives_are_those_of_plain_torch_training(contender: str, optimizer: Optimizer) -> None:
    run = one_run(optimizer)
    found, reference = outcome(contender, run), outcome(REFERENCE, run)
    assert found.loss == pytest.approx(reference.loss, rel=1e-4)
    # Single precision against float64 differences.
    assert found.by_rate == pytest.approx(reference.by_rate, rel=1e-3)
    assert found.by_l2 == pytest.approx(reference.by_l2, rel=1e-3)


# Betty imports parts of torch that torch itself compiles in deprecated ways.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_betty_trains_the_same_run_and_has_no_derivative_by_the_learning_rate(optimizer: Optimizer) -> None:
    pytest.importorskip("betty", reason="betty-ml is installed by make peers only")
    run = one_run(optimizer)
    found = outcome("betty, darts", run)
    assert found.loss == pytest.approx(outcome("torch loop", run).loss, rel=1e-4)
    assert found.by_rate is None
    assert found.by_l2 is not None and math.isfinite(found.by_l2)


def test_the_l2_term_holds_every_matrix_and_no_bias() -> None:
    assert set(one_run("adam").decayed) == {"layers.0.weight", "layers.1.weight", "readout.weight"}
