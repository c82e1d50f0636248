"""Muon: torch.optim.Muon as the oracle, hypergradients against differences, laws of width and depth, what is refused."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated
from hpo.evidence.coordcheck import coordinate_check
from hpo.families.facts.registry import proxy_tensors
from hpo.layout import Layout
from hpo.mup.resolve import resolve
from hpo.optimizers import parts
from hpo.optimizers.registry import rule
from windtunnel.tasks import TASKS
from windtunnel.torch.optimizers.muon import Muon
from windtunnel.types import CoordinateCheck, JobSpec, TensorFacts
from windtunnel.types.modules import ModuleInfo, PassCost
from windtunnel.types.tensors import TensorLaw

SHAPES = {"square": [6, 6], "wide": [4, 9], "tall": [12, 5], "window": [4, 3, 3, 3]}
LAYOUT = Layout(
    [
        *(TensorFacts(name=name, shape=shape, role="hidden") for name, shape in SHAPES.items()),
        TensorFacts(name="table", shape=[7, 4], role="input"),
        TensorFacts(name="gain", shape=[4], role="vector"),
    ]
)
OTHER_OPTIONS = [("original", True), ("original", False), ("match_rms_adamw", True), ("spectral", False)]


class WithoutBfloat16(TorchFunctionMode):
    """Lifts torch.optim.Muon's cast to bfloat16, so that its iterations run in the parameters' own precision."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0].clone() if func is Tensor.bfloat16 else func(*args, **(kwargs or {}))


def gradients(dtype: torch.dtype, steps: int = 20) -> Tensor:
    return torch.randn(steps, LAYOUT.parameters, generator=torch.Generator().manual_seed(3), dtype=dtype)


def trained(adjust: str, nesterov: bool, dtype: torch.dtype, *, in_place: bool = False) -> dict[str, Tensor]:
    """Tensors after 20 steps of the engine's rule, for the second of two members."""
    muon = rule("muon", {"adjust_lr_fn": adjust, "nesterov": nesterov})
    start = torch.linspace(-1, 1, LAYOUT.parameters, dtype=dtype)
    state = muon.init(torch.stack([start.flip(0), start]))
    values = {"momentum": 0.9, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6}
    tables = {name: torch.full((2, 1), value, dtype=dtype) for name, value in values.items()}
    tables["learning_rate"] = torch.full((2, len(LAYOUT.tensors)), 0.02, dtype=dtype)
    tables["shrink"] = 0.1 * tables["learning_rate"]
    for step, gradient in enumerate(gradients(dtype)):
        both = torch.stack([gradient.roll(1), gradient])
        if in_place:
            muon.in_place(state, both, tables, LAYOUT, step)
        else:
            state = muon.update(state, both, tables, LAYOUT, step)
    return {name: part[1] for name, part in zip(LAYOUT.names, LAYOUT.split(state[0]), strict=True)}


def trained_by(optimizers: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors after the same steps by torch optimizers, made from a dictionary of parameters."""
    start = torch.linspace(-1, 1, LAYOUT.parameters, dtype=dtype)[None]
    parameters = {name: nn.Parameter(part[0].clone()) for name, part in zip(LAYOUT.names, LAYOUT.split(start), strict=True)}
    made = optimizers(parameters)
    for gradient in gradients(dtype):
        for name, part in zip(LAYOUT.names, LAYOUT.split(gradient[None]), strict=True):
            parameters[name].grad = part[0].clone()
        for optimizer in made:
            optimizer.step()
    return {name: parameter.detach() for name, parameter in parameters.items()}


def torchs_own(adjust: str, nesterov: bool) -> Any:
    """torch.optim.Muon for matrices, the window flattened to one, and torch.optim.AdamW for the rest."""

    def made(parameters: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
        flat = nn.Parameter(parameters["window"].detach().flatten(1))
        parameters["window"].data = flat.data.view(4, 3, 3, 3)
        matrices = [parameters["square"], parameters["wide"], parameters["tall"], flat]

        class Both(torch.optim.Muon):
            def step(self) -> None:  # type: ignore[override]
                flat.grad = parameters["window"].grad.flatten(1)
                super().step()

        muon = Both(matrices, lr=0.02, weight_decay=0.1, momentum=0.9, nesterov=nesterov, adjust_lr_fn=adjust)
        rest = [parameters["table"], parameters["gain"]]
        return [muon, torch.optim.AdamW(rest, lr=0.02, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6)]

    return made


def one_optimizer(adjust: str, nesterov: bool) -> Any:
    """Muon of ``windtunnel.torch``, over the same tensors."""

    def made(parameters: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
        groups = [
            {"params": [parameter], "matrix": name in SHAPES, "lr": 0.02, "weight_decay": 0.1}
            for name, parameter in parameters.items()
        ]
        options = {"momentum": 0.9, "nesterov": nesterov, "adjust_lr_fn": adjust}
        return [Muon(groups, **options, betas=(0.8, 0.95), eps=1e-6)]

    return made


@pytest.mark.parametrize(("adjust", "nesterov"), OTHER_OPTIONS[:3])
def test_twenty_steps_are_those_of_torch(monkeypatch: pytest.MonkeyPatch, adjust: str, nesterov: bool) -> None:
    """The engine to rounding of float32, torch's cast to bfloat16 lifted; the torch class to the bit, with the cast."""
    with WithoutBfloat16():
        exact = trained_by(torchs_own(adjust, nesterov), torch.float32)
    torch.testing.assert_close(trained(adjust, nesterov, torch.float32), exact, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(parts, "AT_ONCE", 1)
    torch.testing.assert_close(trained(adjust, nesterov, torch.float32, in_place=True), exact, rtol=1e-4, atol=1e-5)
    rounded = trained_by(torchs_own(adjust, nesterov), torch.float32)
    ours = trained_by(one_optimizer(adjust, nesterov), torch.float32)
    assert all(torch.equal(ours[name], rounded[name]) for name in LAYOUT.names)
    assert not torch.equal(rounded["square"], exact["square"])


def test_the_spectral_factor_is_sqrt_rows_over_columns() -> None:
    """In float64, where the torch class does not round to bfloat16: engine and class, and each against its own original."""
    ours, classes = trained("spectral", False, torch.float64), trained_by(one_optimizer("spectral", False), torch.float64)
    torch.testing.assert_close(ours, classes, rtol=1e-12, atol=1e-13)
    original = trained("original", False, torch.float64)
    shrunk = (1 - 0.02 * 0.1) ** 20
    starts = LAYOUT.split(torch.linspace(-1, 1, LAYOUT.parameters, dtype=torch.float64)[None])
    start = dict(zip(LAYOUT.names, starts, strict=True))
    for name, shape in SHAPES.items():
        ratio = math.sqrt(shape[0] ** 2 / math.prod(shape)) / math.sqrt(max(1, shape[0] ** 2 / math.prod(shape)))
        moved = original[name] - shrunk * start[name][0]
        torch.testing.assert_close(ours[name] - shrunk * start[name][0], ratio * moved, rtol=1e-9, atol=1e-12)


SEARCH = [
    {"name": "learning_rate", "scope": "role"},
    {"name": "weight_decay", "scope": "role"},
    *({"name": name} for name in ("momentum", "beta1", "beta2", "clip_norm", "init_scale")),
    {"name": "eps", "scope": "role"},
]


@pytest.mark.parametrize("options", [{}, {"nesterov": False, "adjust_lr_fn": "original", "ns_steps": 3}])
def test_hypergradients_are_the_differences_of_runs(problem_under, options: dict[str, Any]) -> None:
    """In float64, of every hyperparameter at once, by every estimator that is exact; a window sees no initial weights."""
    search = SEARCH if not options else [item for item in SEARCH if item["name"] != "init_scale"]
    given = {"search": search, "settings": {"eps": 1e-3, **options}, "model": {"width": 6, "depth": 3}}
    problem = problem_under("muon", "decoupled", **given)
    assert "eps.hidden" not in problem.space.labels and {"eps.input", "learning_rate.hidden"} <= {*problem.space.labels}
    points, draw = problem.space.start()[None], problem.draw([(0, 0)])
    expected = FiniteDifference(sigma=1e-5).estimate(problem, points, draw).gradient
    assert (expected.abs() > 1e-9).all()
    windowed = [] if search is SEARCH else [Truncated(window=6)]
    for estimator in (Reverse("none", "exact"), Reverse("sqrt", "exact"), Forward(), *windowed):
        found = estimator.estimate(problem, points, draw).gradient
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9, msg=str(estimator))


@pytest.mark.parametrize(
    ("adjust", "rate", "decay"), [("match_rms_adamw", 0.5, 2.0), ("original", 1.0, 1.0), ("spectral", 1.0, 1.0)]
)
def test_a_hidden_matrix_at_four_times_the_width_and_depth(adjust: str, rate: float, decay: float) -> None:
    """Rate times decay is constant; over depth the branches' multiplier moves and no rate; the rest has AdamW's table."""
    given = {"task": "python-text", "model": {"family": "transformer", "width": 16, "depth": 2, "d_head": 8}}
    spec = JobSpec.model_validate({**given, "optimizer": {"name": "muon", "adjust_lr_fn": adjust}})
    base = proxy_tensors(spec.model, TASKS[spec.task])
    large = spec.model.model_copy(update={"width": 64, "depth": 8})
    values = {"learning_rate": 0.01, "weight_decay": 0.1}
    rows = {row.name: row for row in resolve(spec, values, base, proxy_tensors(large, TASKS[spec.task]))}
    hidden = [row for row in rows.values() if row.role == "hidden"]
    for row in hidden:
        assert row.learning_rate == pytest.approx(0.01 * rate) and row.weight_decay == pytest.approx(0.1 * decay)
        assert row.eps is None and row.init_std > 0
        assert row.multiplier == pytest.approx(0.25 if row.group in ("attention-out", "mlp-out") else 1.0)
    adamw = JobSpec.model_validate({**given, "optimizer": {"name": "adamw"}})
    for row in resolve(adamw, values, base, proxy_tensors(large, TASKS[spec.task])):
        assert rows[row.name] == row or row.role == "hidden"
    assert len(hidden) == 4 * 8


def slope(check: CoordinateCheck, module: str, quantity: str) -> float:
    return next(
        each.slope
        for each in check.slopes
        if each.module == module and each.quantity == quantity and each.step == check.steps
    )


def checked(task: str, widths: list[int], model: dict[str, Any], parametrization: str) -> CoordinateCheck:
    job = {"task": task, "model": model, "optimizer": {"name": "muon"}, "parametrization": parametrization}
    return coordinate_check(JobSpec.model_validate(job), {}, widths, seeds=3)


def test_coordinates_stay_under_mup_and_grow_under_the_standard_parametrization() -> None:
    """The matrices themselves are told apart: at a copied rate their steps grow like sqrt(m), and under muP not at all."""
    mup, standard = (checked("digits", [64, 128, 256], {}, name) for name in ("mup", "standard"))
    assert mup.verdict == "pass", mup.reasons
    assert standard.verdict == "fail"
    assert slope(mup, "layers.1.weight", "update_norm") == pytest.approx(0, abs=0.05)
    assert slope(standard, "layers.1.weight", "update_norm") == pytest.approx(0.5, abs=0.05)


def test_the_coordinates_of_a_transformer() -> None:
    model = {"family": "transformer", "width": 16, "depth": 2, "d_head": 8}
    mup, standard = (checked("python-text", [16, 32, 64, 128], model, name) for name in ("mup", "standard"))
    assert mup.verdict == "pass", mup.reasons
    assert standard.verdict == "fail"


def law(name: str, shape: list[int], grown: list[int], fan_in: tuple[int, int]) -> TensorLaw:
    return TensorLaw(name=name, role="hidden", shape=shape, grown=grown, fan_in=fan_in)


def test_a_module_that_hides_its_matrices_is_refused_and_windows_are_not() -> None:
    """A query of einsum as [heads, width, outputs of a head] would be mixed over its heads."""
    task = TASKS["digits"]
    shapes = {"q": ([2, 16, 8], [4, 32, 8], (16, 32)), "window": ([16, 16, 3, 3], [32, 32, 3, 3], (144, 288))}
    for name, (shape, grown, fan_in) in shapes.items():
        tensors = [law(name, shape, grown, fan_in)]
        cost = PassCost(saved=(1, 2), multiply_adds=(1, 2))
        module = ModuleInfo(base=16, delta=32, depth=1, tensors=tensors, cost=cost)
        own = task.model_copy(update={"name": "own", "module": module, "families": ("module",)})
        job = {"task": "own", "model": {"family": "module"}, "optimizer": {"name": "muon"}}
        if name == "window":
            assert JobSpec.of(job, own).optimizer.info.matrices
            continue
        with pytest.raises(ValidationError, match=r"Muon moves q as a matrix.*\[2, 16, 8\].*such as adamw"):
            JobSpec.of(job, own)
        assert JobSpec.of({**job, "optimizer": {"name": "adamw"}}, own)
