"""What every family does, whichever it is: a new one gets these tests by being in the table."""

import importlib
import math
import pkgutil
import sys
from dataclasses import fields
from functools import partial
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import hpo.exports.models
import hpo.families
import hpo.families.facts
from hpo.errors import Refused
from hpo.exports.models.registry import model_of, why_no_model
from hpo.exports.models.source import model_source
from hpo.exports.registry import why_not
from hpo.families.facts.family import CoordinateCheck, Measured
from hpo.families.facts.family import parameters as count
from hpo.families.facts.registry import facts, footprint, proxy_tensors
from hpo.families.own.describing import describe
from hpo.families.own.modules import roles
from hpo.families.registry import build, family
from hpo.footprint.measurements import FEWEST_WIDTHS, ladder
from hpo.footprint.sizes import Sizes
from hpo.mup.roles import EMBEDDINGS
from hpo.tasks import Split
from windtunnel.tasks import TASKS, UserTask
from windtunnel.types import JobSpec, ModelSpec, TaskInfo, TransferPlan
from windtunnel.types.families import FAMILIES, Dial, TaskKind, learners
from windtunnel.types.model import with_defaults
from windtunnel.types.plans import PlanRegularization

each_family = pytest.mark.parametrize("name", FAMILIES)
TASK_OF = {
    name: min((task for task in TASKS.built_in.values() if name in task.families), key=lambda task: task.features)
    for name, info in FAMILIES.items()
    if not info.from_task
}
"""Family of this project -> the task with the smallest examples that it learns."""


class Own(nn.Module):
    """A module of one's own: a stem, blocks with residual branches, and a readout."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Linear(3, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.readout = nn.Linear(width, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.stem(inputs)
        for block in self.blocks:
            hidden = hidden + block(functional.tanh(hidden))
        logits: Tensor = self.readout(hidden)
        return logits


@pytest.fixture(scope="module")
def own() -> TaskInfo:
    """A task that brings a module of one's own."""
    task = UserTask(
        name="own", input_shape=(3,), classes=2, examples=(16, 8, 8), load=lambda: None, build=Own, width=16, depth=2
    )
    return task.info_with(describe(task))


@pytest.fixture
def task(name: str, own: TaskInfo) -> TaskInfo:
    """A task that the family learns."""
    return own if FAMILIES[name].from_task else TASK_OF[name]


def model_of_size(name: str, task: TaskInfo, times: int = 1, **size: Any) -> ModelSpec:
    """The family at a multiple of its default width, or of the width that its task brings."""
    given = {"width": times * (task.width or FAMILIES[name].size.width)} | size
    return ModelSpec.model_validate(with_defaults({"family": name, **given}, (name,)))


def inputs_of(task: TaskInfo, examples: int) -> Tensor:
    shape = (examples, *(task.input_shape or (task.features,)))
    if task.kind == "language":
        return torch.arange(math.prod(shape)).view(shape) % task.classes
    return torch.sin(torch.arange(math.prod(shape)).float()).view(shape)


def meta(model: ModelSpec, task: TaskInfo) -> nn.Module:
    with torch.device("meta"):
        return build(model, task)


def answered(package: Any, attribute: str) -> set[str]:
    """Names of the modules of a package that have such an object."""
    names = {module.name for module in pkgutil.iter_modules(package.__path__)}
    return {name for name in names if hasattr(importlib.import_module(f"{package.__name__}.{name}"), attribute)}


def test_the_table_the_facts_and_the_families_are_the_same_set() -> None:
    assert answered(hpo.families.facts, "FACTS") == answered(hpo.families, "FAMILY") == set(FAMILIES)
    assert answered(hpo.exports.models, "MODEL") <= set(FAMILIES)


def test_the_schema_lists_the_table() -> None:
    assert ModelSpec.model_json_schema()["properties"]["family"]["enum"] == list(FAMILIES)
    assert TaskInfo.model_json_schema()["properties"]["families"]["items"]["enum"] == list(FAMILIES)


@pytest.mark.parametrize("find", [facts, family, model_of])
def test_a_family_that_nothing_answers_for_is_refused_and_never_taken_for_another(find: Any) -> None:
    with pytest.raises(Refused, match="'perceiver' is nothing that"):
        find("perceiver")


def test_a_family_that_the_table_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(ValidationError, match="'mlp', 'resnet'"):
        ModelSpec.model_validate({"family": "perceiver"})


@each_family
def test_its_record_is_complete(name: str) -> None:
    info = FAMILIES[name]
    assert (
        info.title and info.layer and set(info.dials) <= set(get_args(Dial)) and set(info.learns) <= set(get_args(TaskKind))
    )
    assert bool(info.dropout_place) == ("dropout" in info.dials)
    assert info.heads == ("attention_multiplier" in info.dials)
    assert (info.completep is None) == bool(info.why_no_completep)
    assert "2 to 4" in info.deeper.format(proxy=2, target=4)
    assert bool(info.learns) != info.from_task
    assert all(name in learners(kind, images=True) for kind in info.learns)
    # Its default is a size that it has.
    ModelSpec.model_validate(with_defaults({"family": name}, (name,)))


@each_family
def test_its_facts_are_complete(name: str) -> None:
    known = facts(name)
    for part, kind in ((known.measured, Measured), (known.check, CoordinateCheck)):
        assert isinstance(part, kind)
        for field in fields(part):
            value = getattr(part, field.name)
            assert value is None or min(value if isinstance(value, tuple) else (value,)) > 0, field.name
    assert 0 < known.measured.efficiency <= 1 <= known.measured.gradient
    assert known.check.seeds >= 2


@each_family
@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("deeper", [0, 1, 3])
def test_its_tensors_are_those_of_its_module_in_order(name: str, task: TaskInfo, times: int, deeper: int) -> None:
    model = model_of_size(name, task, times)
    model = model.model_copy(update={"depth": model.depth + deeper})
    module = meta(model, task)
    expected = [(path, list(value.shape)) for path, value in module.named_parameters()]
    found = proxy_tensors(model, task)
    assert [(fact.name, fact.shape) for fact in found] == expected
    assert not list(module.buffers())
    parts = [path for path, _ in module.named_modules()]
    assert all(layer in parts for layer in model.layers)
    tables = {f"{path}.weight" for path, part in module.named_modules() if isinstance(part, nn.Embedding)}
    assert tables <= set(EMBEDDINGS)


@each_family
def test_its_roles_are_those_that_two_widths_tell(name: str, task: TaskInfo) -> None:
    base, delta = (model_of_size(name, task, times) for times in (1, 2))
    told = roles(lambda width: build(base.model_copy(update={"width": width}), task), base=base.width, delta=delta.width)
    for model in (base, delta):
        assert {fact.name: fact.role for fact in proxy_tensors(model, task)} == told.roles


@each_family
@pytest.mark.parametrize("times", [1, 2])
def test_its_multiply_adds_are_those_that_its_pass_makes(name: str, task: TaskInfo, times: int) -> None:
    model = model_of_size(name, task, times)
    module, inputs = build(model, task), inputs_of(task, 1)
    with FlopCounterMode(display=False) as counter:
        module(inputs)
    counted = counter.get_total_flops() / 2
    # A head behind a mean over positions may be counted at each of them, which is a few per cent of a narrow model.
    assert counted * (1 - 1e-9) <= footprint(model, task).multiply_adds <= 1.03 * counted
    assert facts(name).context_products(model, task) * 2 <= footprint(model, task).multiply_adds


@each_family
def test_its_pass_keeps_about_what_its_footprint_says(name: str, task: TaskInfo) -> None:
    model, examples = model_of_size(name, task), 4
    module = build(model, task)
    weights = {value.untyped_storage().data_ptr() for value in module.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        if value.untyped_storage().data_ptr() not in weights:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes() // 4
        return value

    held: list[Tensor] = []
    with saved_tensors_hooks(keep, lambda value: value):
        held.append(functional.log_softmax(module(inputs_of(task, examples)), -1))
    known = footprint(model, task)
    # What torch keeps differs between kernels; the estimates' factors were measured over what the footprint says.
    assert 1 / 2.5 < sum(kept.values()) / examples / known.saved < 2.5
    assert known.live > 0


@each_family
def test_its_dials_are_those_of_its_module(name: str, task: TaskInfo) -> None:
    module: Any = build(model_of_size(name, task), task)
    allowed = {dial for dial in FAMILIES[name].dials if dial != "augmentation" or task.image is not None}
    assert set(module.dials) == allowed
    shapes = module.noise_shapes(3, [dial for dial in module.dials if dial != "attention_multiplier"])
    assert all(shape[0] == 3 for shape in shapes.values())


@each_family
def test_a_width_that_cuts_a_head_is_refused_and_one_that_the_family_has_is_not(name: str, task: TaskInfo) -> None:
    model = model_of_size(name, task)
    step = model.width_step
    assert (step > 1) == FAMILIES[name].heads
    model_of_size(name, task, width=model.width + step)
    if step > 1:
        with pytest.raises(ValidationError, match="a head must not be cut"):
            model_of_size(name, task, width=model.width + step - 1)
    else:
        with pytest.raises(ValidationError, match="d_head is no setting of family"):
            model_of_size(name, task, d_head=8)


@each_family
def test_its_coordinate_check_has_widths_that_it_can_build(name: str, task: TaskInfo) -> None:
    spec = JobSpec.of({"task": task.name, "model": {"family": name}}, task)
    widths = ladder(Sizes.of(spec, task))
    assert len(widths) >= FEWEST_WIDTHS and widths == sorted(set(widths))
    for width in widths:
        model = spec.model.model_copy(update={"width": width})
        assert width % model.width_step == 0
        assert count(proxy_tensors(model, task)) > 0


@each_family
def test_members_at_once_and_tapes_are_numbers_that_a_run_can_have(name: str, task: TaskInfo) -> None:
    known, model = facts(name), model_of_size(name, task)
    together = known.members_together(model, task, 16)
    assert together is None or together >= 1
    assert known.tapes_kept(model, task, 16) >= 0


@each_family
def test_a_job_of_it_can_be_prepared(name: str, task: TaskInfo) -> None:
    inputs = inputs_of(task, 8)
    labels = inputs.clone() if task.kind == "language" else torch.arange(8) % task.classes
    spec = JobSpec.of({"task": task.name, "model": {"family": name}}, task)
    part = Split(inputs, labels, torch.zeros(8, dtype=torch.int64))
    family(name).prepare(spec, (part, part, part))


@pytest.mark.parametrize("name", sorted(answered(hpo.exports.models, "MODEL")))
def test_its_source_has_its_tensors_and_computes_what_it_does(name: str, task: TaskInfo) -> None:
    model = model_of_size(name, task)
    plan = TransferPlan.model_construct(
        task=task.name,
        model=model,
        width=model.width,
        depth=model.depth,
        classes=task.classes,
        features=task.features,
        regularization=PlanRegularization(),
        attention_multiplier=None,
        tensors=[],
        regulariser_schedule=None,
    ).knowing(task)
    namespace: dict[str, Any] = {"math": math, "partial": partial, "torch": torch, "nn": nn, "functional": functional}
    exec(compile(model_source(plan), "plan.py", "exec"), namespace)
    given = [Own(model.width, model.depth)] if FAMILIES[name].from_task else []
    theirs, ours = namespace["build_model"](*given), build(model, task)
    shapes = [(path, list(value.shape)) for path, value in theirs.named_parameters()]
    assert shapes == [(fact.name, fact.shape) for fact in proxy_tensors(model, task)]
    theirs.load_state_dict(dict(ours.named_parameters()))
    inputs = inputs_of(task, 5)
    torch.testing.assert_close(theirs(inputs), ours(inputs), rtol=1e-4, atol=1e-4)
    assert why_no_model(name) is None and "build_model(" in model_of(name).call


def test_a_family_without_a_source_is_refused_by_the_exports_that_write_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hpo.exports.models.mlp", None)
    plan = TransferPlan.model_construct(model=ModelSpec())
    for name in ("torch", "huggingface"):
        reason = why_not(plan, name)
        assert (
            reason is not None
            and "no source of a model of family 'mlp'; allowed: resnet, transformer, llama, module" in reason
        )
