"""How matrices start: what makes the outputs at 0, everything else by its fan-in; a gradient reaches every tensor."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import windtunnel.torch
from hpo.errors import InvalidData
from hpo.evidence.coordcheck import coordinate_check
from hpo.families.facts.registry import proxy_tensors
from hpo.families.own.describing import describe
from hpo.mup.resolve import resolve
from hpo.study import Study
from windtunnel import UserTask
from windtunnel.types import JobSpec
from windtunnel.types.tensors import TensorLaw

WIDTH, FEATURES, CLASSES = 16, 8, 3


def points() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs, weight = torch.randn(300, FEATURES, generator=generator), torch.randn(FEATURES, CLASSES, generator=generator)
    labels = (inputs @ weight).argmax(1)
    return [(inputs[part], labels[part]) for part in (slice(0, 150), slice(150, 225), slice(225, 300))]


class Net(nn.Module):
    """A first layer, something inside, and a head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)

    def inside(self, hidden: Tensor) -> Tensor:
        return hidden

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.inside(torch.relu(self.first(inputs))))


class Squeeze(Net):
    """Squeeze-and-excite through 4 units."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.down, self.up = nn.Linear(width, 4), nn.Linear(4, width)

    def inside(self, hidden: Tensor) -> Tensor:
        return hidden * torch.sigmoid(self.up(torch.relu(self.down(hidden))))


class Adapter(Net):
    """A low-rank adapter whose second factor the module starts at 0, as LoRA does."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.down, self.up = nn.Linear(width, 4, bias=False), nn.Linear(4, width, bias=False)
        nn.init.zeros_(self.up.weight)

    def inside(self, hidden: Tensor) -> Tensor:
        return hidden + self.up(self.down(hidden))


class Neck(Net):
    """W -> 4 -> W, with rectifiers."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.down, self.up = nn.Linear(width, 4), nn.Linear(4, width)

    def inside(self, hidden: Tensor) -> Tensor:
        return torch.relu(self.up(functional.leaky_relu(self.down(hidden))))


class Gated(Net):
    """Outputs times gates of their own."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gate = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.first(inputs))
        return torch.sigmoid(self.gate(hidden)) * self.head(hidden)


class Experts(nn.Module):
    """A router, and experts that each make outputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.router = nn.Linear(FEATURES, width), nn.Linear(width, 3)
        self.experts = nn.ModuleList(nn.Linear(width, CLASSES) for _ in range(3))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.first(inputs))
        shares = self.router(hidden).softmax(-1)
        return sum(shares[:, [index]] * expert(hidden) for index, expert in enumerate(self.experts))


class Product(nn.Module):
    """Outputs that are a product of two readouts: one at most may start at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.one, self.other = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES), nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.first(inputs))
        return self.one(hidden) * self.other(hidden)


class LowRankHead(Net):
    """A readout with a low-rank part of its own, summed before it is used."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.down, self.up = nn.Linear(width, 2, bias=False), nn.Linear(2, CLASSES, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.first(inputs))
        return functional.linear(hidden, self.head.weight + self.up.weight @ self.down.weight, self.head.bias)


class Capped(Net):
    """Logits behind a soft cap: no matrix is affine in them."""

    def forward(self, inputs: Tensor) -> Tensor:
        return 5 * torch.tanh(super().forward(inputs) / 5)


class Silent(Net):
    """A temperature that the module starts at 0: the readout must not."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.temperature = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.temperature * super().forward(inputs)


class Scaled(Net):
    """A trained scale of each logit behind the head."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.scale = nn.Parameter(torch.ones(1, CLASSES))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * super().forward(inputs)


def head_of_16(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def linear_head_of_16(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, 16), nn.Linear(16, CLASSES))


def stem_of_16(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, CLASSES))


def fixed_convolution(width: int) -> nn.Module:
    stem = [nn.Unflatten(1, (1, FEATURES)), nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*stem, nn.Linear(4 * FEATURES, width), nn.ReLU(), nn.Linear(width, CLASSES))


READOUTS: dict[Callable[[int], nn.Module], tuple[set[str], dict[str, int]]] = {
    head_of_16: ({"4.weight"}, {"2.weight": WIDTH}),
    linear_head_of_16: ({"3.weight"}, {"2.weight": WIDTH}),
    stem_of_16: ({"4.weight"}, {"0.weight": FEATURES, "2.weight": 16}),
    fixed_convolution: ({"6.weight"}, {"1.weight": 3}),
    Squeeze: ({"head.weight"}, {"down.weight": WIDTH, "up.weight": 4}),
    Adapter: ({"head.weight"}, {"down.weight": WIDTH}),
    Neck: ({"head.weight"}, {"down.weight": WIDTH, "up.weight": 4}),
    Gated: ({"head.weight"}, {"gate.weight": WIDTH}),
    Experts: ({f"experts.{index}.weight" for index in range(3)}, {"router.weight": WIDTH}),
    Product: ({"other.weight"}, {"one.weight": WIDTH}),
    LowRankHead: ({"head.weight", "up.weight"}, {"first.weight": FEATURES, "down.weight": WIDTH}),
    Capped: ({"head.weight"}, {"first.weight": FEATURES}),
    Scaled: ({"head.weight"}, {"first.weight": FEATURES}),
}
"""Module -> tensors that make its outputs and start at 0, and the fan-in of some others."""


def task_of(build: Callable[[int], nn.Module]) -> UserTask:
    return UserTask(
        name="starts",
        input_shape=(FEATURES,),
        classes=CLASSES,
        examples=(150, 75, 75),
        load=points,
        build=lambda width, depth: build(width),
        width=WIDTH,
        depth=1,
    )


def spec_of(build: Callable[[int], nn.Module], **more: object) -> JobSpec:
    task = task_of(build)
    fields = {"inner": {"steps": 40, "batch_size": 32, "seeds": 2}, "optimizer": {"name": "adamw", "weight_decay": 0.1}}
    return JobSpec.of({"task": task.name, **fields, **more}, task.info_with(describe(task)))


@pytest.mark.parametrize("build", READOUTS, ids=lambda build: build.__name__)
def test_what_makes_the_outputs_starts_at_zero_and_everything_else_by_its_fan_in(build) -> None:
    readouts, fans = READOUTS[build]
    spec = spec_of(build)
    facts = proxy_tensors(spec.model, spec.info)
    assert {fact.name for fact in facts if fact.makes_outputs} == readouts
    zeros = {fact.name for fact in facts if fact.decayed and not fact.random and fact.init_value is None}
    assert zeros == readouts
    stds = {fact.name: fact.init_std for fact in facts}
    assert {name: stds[name] for name in fans} == {name: fan**-0.5 for name, fan in fans.items()}


@pytest.mark.parametrize("build", [*READOUTS, Silent], ids=lambda build: build.__name__)
def test_the_engine_learns_as_plain_adam_does_from_the_modules_own_start(build) -> None:
    train, valid, _ = points()
    torch.manual_seed(0)
    module = build(WIDTH)
    adam = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(40):
        adam.zero_grad()
        functional.cross_entropy(module(train[0]), train[1]).backward()
        adam.step()
    own = functional.cross_entropy(module(valid[0]), valid[1]).item()
    optimizer = {"name": "adamw", "learning_rate": 0.02, "weight_decay": 0.1}
    study = Study(spec_of(build, optimizer=optimizer, search=[{"name": "learning_rate"}], schedule={"name": "constant"}))
    point = study.space.start()[None].expand(2, -1)
    trained = study.problem.train(point, study.problem.draw([(0, 0, 0, 0), (0, 0, 0, 1)]))
    losses, _ = study.problem.evaluate(trained.parameters, trained.loss, study.data.validation)
    constant = -sum(share * math.log(share) for share in (torch.bincount(valid[1]) / len(valid[1])).tolist())
    # 40 steps on batches of 32 with a decay, against 40 steps on all the data: near, not equal.
    assert losses.mean() < 0.6 * constant and losses.mean() < own + 0.2


@pytest.mark.parametrize("build", [head_of_16, Neck, Squeeze], ids=lambda build: build.__name__)
def test_a_plan_gives_alpha_to_the_readout_alone_and_decay_to_every_matrix(build) -> None:
    spec = spec_of(build, search=[{"name": "learning_rate"}, {"name": "output_multiplier"}, {"name": "weight_decay"}])
    base = proxy_tensors(spec.model, spec.info)
    target = proxy_tensors(spec.model.model_copy(update={"width": 4 * WIDTH}), spec.info)
    values = {"learning_rate": 0.01, "output_multiplier": 3.0, "weight_decay": 0.1}
    rows = {row.name: row for row in resolve(spec, values, base, target)}
    readouts, fans = READOUTS[build]
    for fact in base:
        row, matrix = rows[fact.name], len(fact.shape) > 1
        factor = {"output": 1 / 4}.get(fact.role, 1.0)
        assert row.multiplier == (3.0 if fact.name in readouts else 1.0) * factor, fact.name
        assert (row.weight_decay > 0) == matrix, fact.name
        if fact.name in fans:
            assert row.init_std == fans[fact.name] ** -0.5 and row.init == "normal"
        if fact.name in readouts:
            assert (row.init, row.init_std) == ("zeros", 0.0)


def test_alpha_scales_the_outputs_once_in_the_engine() -> None:
    """A head W -> 16 -> 3 without biases: the logits are linear in alpha, not a product of two of them."""
    study = Study(spec_of(linear_head_of_16, search=[{"name": "learning_rate"}, {"name": "output_multiplier"}]))
    problem, generator = study.problem, torch.Generator().manual_seed(0)
    tensors = [torch.randn(1, *fact.shape, generator=generator) * 0.3 for fact in study.tensors]
    tensors = [value if value.dim() > 2 else value * 0 for value in tensors]
    inputs = points()[0][0][:5]
    once, twice = (problem.outputs(tensors, {"output_multiplier": torch.tensor([a])}, inputs) for a in (1.0, 2.0))
    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("build", [head_of_16, stem_of_16, Neck, Adapter], ids=lambda build: build.__name__)
def test_a_gradient_reaches_every_tensor_of_the_large_model(build) -> None:
    fields = {"inner": {"steps": 10, "batch_size": 32, "seeds": 2}, "outer": {"steps": 1, "scout": False}}
    result = windtunnel.tune(build, points(), base_width=WIDTH, parametrization="standard", progress=False, **fields)
    model = build(4 * WIDTH)
    optimizer = windtunnel.torch.optimizer(model, result.plan(width=4 * WIDTH, force=True))
    inputs, labels = points()[0]
    reached: set[str] = set()
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        reached |= {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
        optimizer.step()
    assert reached == {name for name, _ in model.named_parameters()}


def test_a_temperature_at_zero_keeps_the_readout_random() -> None:
    (head,) = (law for law in describe(task_of(Silent)).tensors if law.name == "head.weight")
    assert head.makes_outputs and head.at_fan_in and not head.zero


class Dead(Net):
    """A product of two factors that the module itself starts at 0."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.one, self.other = (nn.Parameter(torch.zeros(())) for _ in range(2))

    def inside(self, hidden: Tensor) -> Tensor:
        return hidden + self.one * self.other * hidden


class RandomGain(Net):
    """A gain that starts random, which no rule gives a start but 0."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gain = nn.Parameter(torch.rand(width))

    def inside(self, hidden: Tensor) -> Tensor:
        return hidden * self.gain


class RandomScale(Net):
    """A random factor in front of a rectifier: at 0, as no rule gives it another start, nothing behind it is on."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.scale = nn.Parameter(torch.rand(1) + 0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.relu(self.scale * self.first(inputs)))


class TwoSilentFactors(Net):
    """An adapter whose two factors both start at 0."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.down, self.up = nn.Linear(width, 4, bias=False), nn.Linear(4, width, bias=False)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.down.weight)

    def inside(self, hidden: Tensor) -> Tensor:
        return hidden + self.up(self.down(hidden))


@pytest.mark.parametrize(
    ("build", "name"),
    [(Dead, "one"), (TwoSilentFactors, "down.weight"), (RandomScale, "scale")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_tensor_that_never_gets_a_gradient_is_refused_by_name_before_anything_is_spent(build, name) -> None:
    with pytest.raises(InvalidData, match=rf"parameter '{name}' of task 'starts' never learns") as caught:
        Study(spec_of(build))
    assert f"init_std={{'{name}': 0.05}}" in (caught.value.hint or "")


def test_a_random_gain_learns_or_is_refused() -> None:
    """It starts at 0 with a random readout, or not at all: nothing that never learns goes through."""
    spec = spec_of(RandomGain)
    Study(spec)
    facts = {fact.name: fact for fact in proxy_tensors(spec.model, spec.info)}
    assert facts["head.weight"].random != facts["gain"].random


@pytest.mark.parametrize("build", [Dead, TwoSilentFactors], ids=lambda build: build.__name__)
def test_a_coordinate_check_fails_where_no_gradient_reaches_a_tensor_and_names_it(build) -> None:
    spec = spec_of(build)
    check = coordinate_check(spec, {"learning_rate": 0.01}, [16, 32], seeds=2)
    names = [law.name for law in spec.info.module.tensors if law.name in ("one", "other", "down.weight", "up.weight")]
    assert check.verdict == "fail" and set(names) <= set(check.unreached)
    assert any(reason.startswith(f"{names[0]}: its gradient is exactly 0 in every step") for reason in check.reasons)


def test_a_bottleneck_does_not_fail_the_check_because_its_random_start_falls() -> None:
    check = coordinate_check(spec_of(Neck), {"learning_rate": 0.01}, [32, 64, 128], seeds=3)
    assert check.verdict != "fail" and not check.unreached


class Fading(Neck):
    """A layer whose inputs fall with the width, before or behind a bottleneck."""

    def __init__(self, width: int, *, before: bool) -> None:
        super().__init__(width)
        self.middle, self.factor, self.before = nn.Linear(width, width), (WIDTH / width) ** 0.5, before

    def faded(self, hidden: Tensor) -> Tensor:
        return torch.relu(self.middle(self.factor * hidden))

    def inside(self, hidden: Tensor) -> Tensor:
        return super().inside(self.faded(hidden)) if self.before else self.faded(super().inside(hidden))


@pytest.mark.parametrize(("name", "before"), [("adamw", True), ("lion", True), ("adamw", False), ("sgd", True)])
def test_a_bottleneck_excuses_what_it_makes_fall_and_nothing_before_it_under_adam(name: str, before: bool) -> None:
    """Updates of Adam and Lion have the same size however small the gradient is that comes through the bottleneck."""
    spec = spec_of(lambda width: Fading(width, before=before), optimizer={"name": name, "learning_rate": 0.01})
    check = coordinate_check(spec, {}, [32, 128, 512], seeds=3)
    middle = next(slope for slope in check.last("activation").values() if slope.module == "middle")
    assert middle.slope < -0.3 and (middle.verdict == "fail") == (before and spec.optimizer.info.normalises)


class Packed(Net):
    """Experts, and blocks of a block-diagonal matrix, in one tensor each."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.experts = nn.Parameter(torch.randn(4, width, 2 * width))
        self.back = nn.Parameter(torch.randn(4, 2 * width, width))
        self.blocks = nn.Parameter(torch.randn(2, width // 2, width // 2))

    def inside(self, hidden: Tensor) -> Tensor:
        made = torch.relu(torch.einsum("bi,eio->beo", hidden, self.experts))
        mixed = torch.einsum("beo,eoi->bi", made, self.back) / 4
        return hidden + mixed + torch.einsum("bgi,gio->bgo", hidden.unflatten(1, (2, -1)), self.blocks).flatten(1)


def test_matrices_packed_in_one_tensor_pass_the_check() -> None:
    check = coordinate_check(spec_of(Packed), {"learning_rate": 0.01}, [64, 128, 256], seeds=3)
    assert check.verdict != "fail"
    packed = [slope for slope in check.slopes if slope.module in ("experts", "blocks") and slope.quantity == "update_norm"]
    assert len(packed) == 2 and all(abs(slope.slope) < 0.3 for slope in packed)


def test_what_sgd_does_before_a_bottleneck_falls_without_a_failure() -> None:
    spec = spec_of(head_of_16, optimizer={"name": "sgd", "learning_rate": 0.1})
    check = coordinate_check(spec, {}, [64, 256, 1024], seeds=3)
    falling = [slope for slope in check.last("update_norm").values() if slope.slope < -0.3]
    assert falling and check.verdict == "inconclusive"


def test_scalars_that_are_biases_are_not_decayed_and_matrices_are() -> None:
    class Mixed(Net):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.fixed, self.norm = nn.Linear(4, 4), nn.LayerNorm((2, 2))
            self.temperature = nn.Parameter(torch.ones(1, 1))
            self.narrow, self.wide = nn.Linear(width, 4), nn.Linear(4, width)

        def inside(self, hidden: Tensor) -> Tensor:
            narrow = self.norm(self.fixed(self.narrow(hidden)).unflatten(1, (2, 2))).flatten(1)
            return self.temperature * self.wide(narrow)

    laws = {law.name: law for law in describe(task_of(Mixed)).tensors}
    assert {name for name, law in laws.items() if law.role == "scalar" and law.matrix} == {"fixed.weight"}


def test_an_old_table_keeps_its_meaning() -> None:
    old = TensorLaw.model_validate({"name": "w", "role": "output", "shape": [3, 4], "grown": [3, 8], "fan_in": [4, 8]})
    assert old.makes_outputs and not old.at_fan_in
    assert "readout" not in old.model_dump() and "zero" not in old.model_dump()
