"""Keeps an optimizer on the model's own parameters, which ``fully_shard`` and others replace after it was made."""

from typing import Any

from torch import Size, Tensor
from torch.optim import Optimizer

from windtunnel.torch._matching import MatchedModel, PlanMismatch
from windtunnel.torch._sharding import is_sharded, release


def held(optimizer: Optimizer) -> dict[str, Tensor]:
    """Parameters of the optimizer by the plan's names."""
    return {
        name: parameter
        for group in optimizer.param_groups
        for name, parameter in zip(group.get("tensors", ()), group["params"], strict=False)
    }


def hold(optimizer: Optimizer, found: MatchedModel) -> None:
    """Before a step, and before state is saved or loaded, take up parameters that have been replaced in the model.

    Without it an optimizer made before ``fully_shard`` steps parameters that nothing reads any more.
    """
    places = {name: (found.owner(name), found.own[name].rpartition(".")[2]) for name in found.parameters}
    shapes = {name: parameter.shape for name, parameter in found.parameters.items()}

    def current(name: str) -> Tensor | None:
        module, attribute = places[name]
        return module._parameters.get(attribute)

    def take_up(optimizer: Optimizer, *given: Any) -> None:  # noqa: ARG001
        if all(current(name) is each and each.shape == shapes[name] for name, each in held(optimizer).items()):
            return
        release(found.root)
        for group in optimizer.param_groups:
            for index, name in enumerate(group.get("tensors", ())):
                old, new = group["params"][index], current(name)
                heir = _checked(found.own[name], shapes[name], old, new, optimizer)
                group["params"][index] = heir
                if heir is not old and old in optimizer.state:
                    optimizer.state[heir] = optimizer.state.pop(old)

    optimizer.register_step_pre_hook(take_up)
    optimizer.register_state_dict_pre_hook(take_up)
    optimizer.register_load_state_dict_pre_hook(take_up)


def _checked(own: str, shape: Size, old: Tensor, new: Tensor | None, optimizer: Optimizer) -> Tensor:
    """The parameter that takes the place of another.

    Raises:
        PlanMismatch: it is gone, has another shape, or the optimizer has state of the old one in another form.
    """
    if new is None:
        raise PlanMismatch(
            f"the model has no parameter {own} any more, so that the optimizer would train nothing there; call "
            "windtunnel.torch.optimizer after what replaced it"
        )
    if new.shape != shape:
        raise PlanMismatch(
            f"{own} was {list(shape)} when the optimizer was made and is {list(new.shape)} now; "
            "FullyShardedDataParallel flattens parameters: take fully_shard. After other changes of a shape ask for a plan "
            "of the model's size"
        )
    if is_sharded(old) != is_sharded(new) and optimizer.state.get(old):
        raise PlanMismatch(
            f"{own} was sharded after the optimizer had state of it; shard first, then load or train the optimizer"
        )
    return new
