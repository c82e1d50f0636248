"""Checkpoints by others' programs: torch's distributed ones, averages, wrappers, compiled blocks, transformers."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import windtunnel.torch
from tests.torch_plans.conftest import Net
from windtunnel.torch import PlanMismatch
from windtunnel.types import TransferPlan

INPUTS = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
WHOLE = StateDictOptions(full_state_dict=True)
BROADCAST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


@pytest.fixture
def process_group() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def planned(plan: TransferPlan, seed: int, sharded: str | None) -> nn.Module:
    model = Net()
    if sharded == "before the plan":
        fully_shard(model)
    windtunnel.torch.apply(model, plan, seed=seed)
    if sharded == "after the plan":
        fully_shard(model)
    return model


def put_back(model: nn.Module) -> None:
    """Torch refuses whole values as long as ``fully_shard`` has whole parameters in the model, with a plan or without."""
    if hasattr(model, "reshard"):
        model.reshard()


SHARDED = [None, "before the plan", "after the plan"]


@pytest.mark.parametrize("broadcast", [None, False, True])
@pytest.mark.parametrize("sharded", SHARDED)
def test_state_dicts_of_torchs_checkpoints_and_parts_of_them(make_plan, process_group, sharded, broadcast) -> None:
    whole = {} if broadcast is None else {"full_state_dict": True, "broadcast_from_rank0": broadcast}
    options, partial = StateDictOptions(**whole), StateDictOptions(**whole, strict=False)
    source, model = planned(make_plan(), 1, sharded), planned(make_plan(), 2, sharded)
    wanted, before = source(INPUTS), copy.deepcopy(get_model_state_dict(model, options=WHOLE))
    put_back(source)
    state = get_model_state_dict(source, options=options)
    for _ in range(2):
        # Torch fills up a part of a state dict with the model's own parameters.
        set_model_state_dict(model, {"readout.bias": state["readout.bias"]}, options=partial)
        now = get_model_state_dict(model, options=WHOLE)
        assert all(torch.equal(now[name], value) for name, value in before.items() if name != "readout.bias")
    set_model_state_dict(model, dict(state), options=options)
    torch.testing.assert_close(model(INPUTS), wanted, rtol=1e-5, atol=1e-6)
    bare = Net()
    bare.load_state_dict(get_model_state_dict(model, options=WHOLE))
    torch.testing.assert_close(bare(INPUTS), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sharded", SHARDED[1:])
def test_parts_are_loaded_in_full_precision_after_a_forward_pass_in_bfloat16(make_plan, process_group, sharded) -> None:
    source = planned(make_plan(), 1, sharded)
    model = Net()
    fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    windtunnel.torch.apply(model, make_plan(), seed=2)
    model(INPUTS)
    set_model_state_dict(model, get_model_state_dict(source))
    model.to(torch.float64).to(torch.float32)  # which swaps the values of sharded parameters
    wanted = get_model_state_dict(source, options=WHOLE)
    assert all(torch.equal(value, wanted[name]) for name, value in get_model_state_dict(model, options=WHOLE).items())


@pytest.mark.parametrize("sharded", SHARDED)
def test_distributed_checkpoints_are_read_in_place(make_plan, process_group, tmp_path, sharded) -> None:
    source = planned(make_plan(), 1, None)
    wanted = source(INPUTS)
    dcp.save({"model": get_model_state_dict(source)}, checkpoint_id=tmp_path)
    model = planned(make_plan(), 2, sharded)
    dcp.load({"model": model}, checkpoint_id=tmp_path)
    torch.testing.assert_close(model(INPUTS), wanted, rtol=1e-5, atol=1e-6)
    # Not given back to load_state_dict: torch's own state dicts are views.
    model = planned(make_plan(), 2, sharded)
    state = model.state_dict()
    dcp.load({"model": state}, checkpoint_id=tmp_path)
    if sharded is not None:
        with pytest.raises(PlanMismatch, match=r"was written into, .* multiplier 1\.7: call load_state_dict with it"):
            model(INPUTS)
        model.load_state_dict(state)
    torch.testing.assert_close(model(INPUTS), wanted, rtol=1e-5, atol=1e-6)


def test_wrappers_and_averages_of_torch_save_what_a_bare_one_loads(make_plan, process_group) -> None:
    model = planned(make_plan(), 1, None)
    wrapped, average = DistributedDataParallel(model), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    plain, bare = AveragedModel(Net(), multi_avg_fn=get_ema_multi_avg_fn(0.5)), Net()
    for _ in range(3):
        with torch.no_grad():
            for value in model.parameters():
                value.mul_(1.25)
        average.update_parameters(model)
        bare.load_state_dict({name.removeprefix("module."): value for name, value in wrapped.state_dict().items()})
        torch.testing.assert_close(bare(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)
        plain.update_parameters(bare)
    torch.testing.assert_close(average(INPUTS), plain(INPUTS), rtol=1e-5, atol=1e-6)
    plain.load_state_dict(average.state_dict())
    torch.testing.assert_close(average(INPUTS), plain(INPUTS), rtol=1e-5, atol=1e-6)


# dynamo looks at the gradient of every input that it traces.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_code_has_the_weights_that_are_loaded_and_written(make_plan) -> None:
    source, model = planned(make_plan(), 1, None), planned(make_plan(), 2, None)
    compiled, wanted = torch.compile(model, backend="eager"), source(INPUTS)
    compiled(INPUTS)
    model.state_dict()
    compiled(INPUTS)
    compiled.load_state_dict({f"_orig_mod.{name}": value for name, value in source.state_dict().items()})
    torch.testing.assert_close(compiled(INPUTS), wanted, rtol=1e-5, atol=1e-6)
    for value in compiled.state_dict().values():
        value.zero_()
    # Compiled code does not look for writes; the next state dict, step or call of the module itself does.
    assert not compiled.state_dict()["_orig_mod.readout.weight"].any()
    assert not compiled(INPUTS).any()


def test_a_model_of_transformers_is_saved_and_read_without_the_plan(make_plan, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")

    class Config(transformers.PretrainedConfig):  # type: ignore[misc,name-defined]
        model_type = "windtunnel-net"

    class Model(transformers.PreTrainedModel):  # type: ignore[misc,name-defined]
        config_class = Config

        def __init__(self, config: Config) -> None:
            super().__init__(config)
            self.layers = nn.ModuleList([nn.Linear(6, 33), nn.Linear(33, 33)])
            self.readout = nn.Linear(33, 3)
            self.post_init()

        forward = Net.forward

    model = Model(Config())
    windtunnel.torch.apply(model, make_plan(), seed=1)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(Model.from_pretrained(tmp_path)(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)
