"""Llama: its library twin's logits and gradients, its options, its roles, its coordinate check."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from hpo.exports.models.llama import theirs
from hpo.exports.models.registry import model_of
from hpo.exports.models.source import model_source, multipliers_source
from hpo.families.facts.llama import mlp_units
from hpo.families.facts.registry import footprint, proxy_tensors
from hpo.families.llama import Llama, rotated, rotations
from hpo.families.own.doubles import StayDouble
from hpo.families.registry import build
from hpo.mup.resolve import resolve
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, ModelSpec, TransferPlan
from windtunnel.types.families import BlockOptions
from windtunnel.types.plans import PlanRegularization

TASK = TASKS.built_in["python-text"].model_copy(update={"features": 12, "classes": 11})
SMALL: dict[str, Any] = {"family": "llama", "width": 32, "depth": 2, "d_head": 8}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped, gains": {"gqa_ratio": 2, "norm_gains": True, "multiple_of": 5, "rope_theta": 100.0},
    "gelu": {"activation": "gelu", "gqa_ratio": 4},
    "normalised heads": {"qk_norm": True, "gqa_ratio": 2},
    "normalised heads, gains": {"qk_norm": True, "norm_gains": True},
}
each_option = pytest.mark.parametrize("name", OPTIONS)


def spec(**model: Any) -> ModelSpec:
    return ModelSpec.model_validate({**SMALL, "activation": "silu"} | model)


def plan_of_size(model: ModelSpec, attention: float | None = None) -> TransferPlan:
    """Plan at the proxy's own size, as far as sources of models look at it."""
    job = JobSpec.model_validate({"task": "python-text", "model": model.model_dump(exclude_none=True)})
    tensors = proxy_tensors(model, TASK)
    return TransferPlan.model_construct(
        model=model,
        width=model.width,
        depth=model.depth,
        classes=TASK.classes,
        features=TASK.features,
        regularization=PlanRegularization(),
        attention_multiplier=attention,
        tensors=resolve(job, {}, tensors, tensors),
        regulariser_schedule=None,
        task=TASK.name,
        kind=TASK.kind,
        job_id="",
        id="",
    ).knowing(TASK)


def executed(*parts: str, **names: Any) -> dict[str, Any]:
    """Names that sources define."""
    found = {"math": math, "partial": partial, "torch": torch, "nn": nn, "functional": functional} | names
    for part in parts:
        exec(compile(part, "plan.py", "exec"), found)
    return found


def weights(model: ModelSpec, dtype: torch.dtype) -> dict[str, Tensor]:
    """Values of order 1 / sqrt(fan-in) by name; gains about 1."""
    generator = torch.Generator().manual_seed(3)
    found = {}
    for fact in proxy_tensors(model, TASK):
        values = torch.randn(fact.shape, generator=generator, dtype=torch.float64)
        found[fact.name] = (values * fact.shape[-1] ** -0.5 if fact.init_value is None else 1 + 0.2 * values).to(dtype)
    return found


def logits_and_gradients(model: nn.Module, outputs: Any, dtype: torch.dtype) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randint(TASK.classes, (3, TASK.features + 1), generator=generator)
    logits = outputs(model, tokens[:, :-1])
    loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    assert logits.dtype == dtype
    return logits.detach(), {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@each_option
@pytest.mark.parametrize(
    ("dtype", "tolerance", "attention"), [(torch.float32, 1e-5, None), (torch.float64, 1e-10, 1.75)], ids=str
)
def test_the_library_twin_has_its_logits_and_gradients(
    needs, name: str, dtype: torch.dtype, tolerance: float, attention: float | None
) -> None:
    needs("transformers")
    model = spec(**OPTIONS[name])
    if name == "normalised heads, gains":
        assert model_of("llama").twin(plan_of_size(model, 1.75)) is None  # no place for the factor beside a trained gain
        attention = None
    twin = model_of("llama").twin(plan_of_size(model, attention))
    assert twin is not None
    scaled = multipliers_source(twin.plan)
    tensors = {row.name for row in twin.plan.trained}
    file = executed(twin.imports, twin.source, scaled, TENSORS=tensors)
    their = file["library_model"]()
    if scaled:
        file["attach_multipliers"](their)
    ours, their = build(model, TASK).to(dtype), their.to(dtype).train()
    values = weights(model, dtype)
    with torch.no_grad():
        for path, parameter in ours.named_parameters():
            parameter.copy_(values[path])
            their.get_parameter(theirs(path)).copy_(values[path])
    dials = {} if attention is None else {"attention_multiplier": torch.tensor(attention, dtype=dtype)}
    mine, own = logits_and_gradients(ours, lambda module, tokens: module(tokens, dials), dtype)
    if dtype == torch.float64:
        # The library's norms and rotations compute in float32 whatever they are given.
        with StayDouble():
            found, gradients = logits_and_gradients(their, lambda module, tokens: module(tokens).logits, dtype)
    else:
        found, gradients = logits_and_gradients(their, lambda module, tokens: module(tokens).logits, dtype)
    torch.testing.assert_close(found, mine, rtol=tolerance, atol=tolerance)
    assert gradients.keys() == {theirs(path) for path in own} == tensors
    for path, gradient in own.items():
        torch.testing.assert_close(gradients[theirs(path)], gradient, rtol=tolerance, atol=tolerance, msg=path)
        assert gradient.abs().max() > 1e-4


@each_option
def test_its_source_and_its_facts_are_those_of_its_module(name: str) -> None:
    model = spec(**OPTIONS[name])
    plan = plan_of_size(model, 1.7)
    ours = build(model, TASK)
    expected = [(path, list(value.shape)) for path, value in ours.named_parameters()]
    assert [(fact.name, fact.shape) for fact in proxy_tensors(model, TASK)] == expected
    assert footprint(model, TASK).saved > 0
    file = executed(model_source(plan))["build_model"]()
    assert [(path, list(value.shape)) for path, value in file.named_parameters()] == expected
    values = weights(model, torch.float32)
    file.load_state_dict(values)
    ours.load_state_dict(values)
    tokens = torch.arange(24).view(2, 12) % TASK.classes
    dials = {"attention_multiplier": torch.tensor(1.7)}
    torch.testing.assert_close(file(tokens), ours(tokens, dials), rtol=1e-4, atol=1e-5)


def test_only_differences_of_positions_count() -> None:
    """A query and a key that move on together have the same product (Su et al. 2021, equation 12)."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(8, generator=generator, dtype=torch.float64) for _ in range(2))
    turns = rotations(10, 8, 50.0, q)
    products = rotated(q.expand(10, 8), *turns) @ rotated(k.expand(10, 8), *turns).T
    for distance in range(-9, 10):
        line = products.diagonal(distance)
        torch.testing.assert_close(line, line[0].expand_as(line), rtol=0, atol=1e-6)
    assert (products[0, 1:] - products[0, :-1]).abs().min() > 1e-3


def test_query_heads_of_a_group_share_keys_and_values() -> None:
    """The ratio says how often each head of keys and values serves: written out as separate heads, outputs stay."""
    values = weights(spec(gqa_ratio=2), torch.float64)
    grouped = Llama(12, 11, 32, 2, 8, options=BlockOptions(gqa_ratio=2)).double()
    grouped.load_state_dict(values)
    apart = Llama(12, 11, 32, 2, 8).double()
    for index in range(2):
        for name in "kv":
            path = f"blocks.{index}.{name}.weight"
            values[path] = values[path].view(2, 1, 8, 32).expand(2, 2, 8, 32).reshape(32, 32)
    apart.load_state_dict(values)
    tokens = torch.arange(24).view(2, 12) % 11
    torch.testing.assert_close(grouped(tokens), apart(tokens), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("width", "multiple", "units"), [(64, 8, 176), (4096, 256, 11008), (8192, 4096, 24576), (12, 1, 32)]
)
def test_units_of_the_mlp_are_llamas(width: int, multiple: int, units: int) -> None:
    """11008 at 4096 is Llama 7B's; 8/3 of the width, rounded up."""
    assert mlp_units(width, multiple) == units


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"family": "transformer", "width": 32, "gqa_ratio": 2},
            "gqa_ratio is no setting of family 'transformer'; allowed",
        ),
        ({**SMALL, "gqa_ratio": 3}, "width 32 is no multiple of d_head 8 times gqa_ratio 3, 24"),
        ({**SMALL, "d_head": 1}, "d_head 1 is odd"),
        ({**SMALL, "multiple_of": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_fit_no_model_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSpec.model_validate(fields)
