"""Layers and parameters that no population can train are refused in two seconds, by name and with what to do instead."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

import windtunnel
from hpo.errors import InvalidData

Build = Callable[[int], nn.Module]


def points() -> list[tuple[Tensor, Tensor]]:
    found = torch.randn(96, 5, generator=torch.Generator().manual_seed(0))
    return list(zip(found.split(32), (found.sum(1) > 0).long().split(32), strict=True))


def tokens() -> list[tuple[Tensor, Tensor]]:
    """Tokens 1 to 10; token 0 ends one example of many, far from the first."""
    found = torch.randint(1, 11, (96, 6), generator=torch.Generator().manual_seed(0))
    found[20, 5] = 0
    return list(zip(found.split(32), (found[:, 0] % 2).split(32), strict=True))


class Net(nn.Module):
    """Two layers, with something between them."""

    def __init__(self, width: int, layer: Any = None, more: Any = None) -> None:
        super().__init__()
        self.first, self.layer, self.head = nn.Linear(5, width), layer, nn.Linear(width, 2)
        self.more = more or (lambda net, hidden: hidden if net.layer is None else net.layer(hidden))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.more(self, self.first(inputs))))


class Words(nn.Module):
    """Mean of embeddings."""

    def __init__(self, width: int, **settings: Any) -> None:
        super().__init__()
        self.table = nn.Embedding(11, width, **settings)
        self.head = nn.Linear(width, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(inputs).mean(1)))


class OwnPadding(Words):
    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(functional.embedding(inputs, self.table.weight, padding_idx=0).mean(1)))


class FrequencyByHand(Words):
    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(functional.embedding(inputs, 2 * self.table.weight, scale_grad_by_freq=True).mean(1)))


class OwnTable(nn.Embedding):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)


class TiedPadding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.table, self.out, self.head = nn.Embedding(11, width, padding_idx=0), nn.Linear(width, 11), nn.Linear(11, 2)
        self.out.weight = self.table.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.out(self.table(inputs).mean(1))))


def words(**settings: Any) -> Build:
    return lambda width: Words(width, **settings)


def own_table(width: int) -> nn.Module:
    module = Words(width)
    module.table = OwnTable(11, width, padding_idx=0)
    return module


def between(layer: Callable[[int], Any]) -> Build:
    return lambda width: Net(width, layer(width))


def doing(more: Callable[[Net, Tensor], Tensor], layer: Callable[[int], Any] = lambda width: None) -> Build:
    return lambda width: Net(width, layer(width), more)


def changed(change: Callable[[Net], object]) -> Build:
    def build(width: int) -> nn.Module:
        net = Net(width)
        change(net)
        return net

    return build


def with_parameter(value: Callable[[int], Tensor]) -> Build:
    def build(width: int) -> nn.Module:
        net = Net(width, more=lambda net, hidden: hidden * net.gain.real)
        net.gain = nn.Parameter(value(width))
        return net

    return build


class Doubling(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def own_parametrization(width: int) -> nn.Module:
    layer = nn.Linear(width, width)
    parametrize.register_parametrization(layer, "weight", Doubling())
    return layer


class StraightThrough(torch.autograd.Function):
    """Rounds, and has a gradient as if it did not."""

    generate_vmap_rule = True

    @staticmethod
    def forward(hidden: Tensor) -> Tensor:
        return hidden.round()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope


class WrongTangent(torch.autograd.Function):
    """A sine whose forward-mode derivative is wrong."""

    generate_vmap_rule = True

    @staticmethod
    def forward(hidden: Tensor) -> Tensor:
        return hidden.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * ctx.saved_tensors[0].cos()

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent * ctx.saved_tensors[0].sin()


class Scaled(nn.Module):
    """An object with a parameter that is no module's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.held = {"gains": [nn.Parameter(torch.ones(width))]}

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden * self.held["gains"][0]


OUTSIDE = nn.Linear(8, 8)


def recurrent(net: Net, hidden: Tensor) -> Tensor:
    return net.layer(hidden[:, None])[0][:, 0]


def clamped(net: Net, hidden: Tensor) -> Tensor:
    net.first.bias.data.clamp_(-0.01, 0.01)
    return hidden


def counted(net: Net, hidden: Tensor) -> Tensor:
    net.__dict__.setdefault("calls", []).append(1)
    return hidden + len(net.calls)


REFUSED: dict[str, tuple[Build, str, str]] = {
    "all frozen": (lambda width: Net(width).requires_grad_(False), "frozen .*: first.weight, first.bias", "requires_grad_"),
    "complex": (with_parameter(lambda width: torch.ones(width, dtype=torch.complex64)), "'gain' .*complex64", "imaginary"),
    "half": (lambda width: Net(width).half(), "'first.weight' .* is torch.float16", "in float32"),
    "bfloat16": (lambda width: Net(width).to(torch.bfloat16), "'first.weight' .* is torch.bfloat16", "in float32"),
    "one of half": (with_parameter(lambda width: torch.ones(width).half()), "'gain' .* is torch.float16", "in float32"),
    "sparse": (words(sparse=True), "'table' .* Embedding with sparse gradients", "leave sparse out"),
    "max_norm": (words(max_norm=1.0), "'table' .* Embedding with max_norm=1", "functional.normalize"),
    "by frequency": (words(scale_grad_by_freq=True), "'table' .* scale_grad_by_freq", "leave scale_grad_by_freq out"),
    "padding by hand": (OwnPadding, "'table.weight' .* looked up .*padding_idx=0", r"tokens != padding"),
    "frequency by hand": (FrequencyByHand, "a table .* looked up .*scale_grad_by_freq", "leave it out"),
    "padding of a class": (own_table, "'table' .* OwnTable with padding_idx=0", r"tokens != padding"),
    "tied padding": (TiedPadding, "'table.weight' .* padding_idx=0 and is tied", r"tokens != padding"),
    "bag": (
        lambda width: nn.Sequential(nn.EmbeddingBag(11, width), nn.Linear(width, 2)),
        "'0' .* an EmbeddingBag",
        "nn.Embedding",
    ),
    "weight_norm": (
        between(lambda width: parametrizations.weight_norm(nn.Linear(width, width))),
        "'layer' .* reparametrised weight",
        "remove_parametrizations",
    ),
    "spectral_norm": (
        between(lambda width: parametrizations.spectral_norm(nn.Linear(width, width))),
        "'layer' .* reparametrised weight",
        "plain layer",
    ),
    "orthogonal": (
        between(lambda width: parametrizations.orthogonal(nn.Linear(width, width))),
        "'layer' .* reparametrised weight",
        "plain layer",
    ),
    "own parametrization": (between(own_parametrization), "'layer' .* reparametrised weight", "plain layer"),
    "old spectral_norm": (
        between(lambda width: nn.utils.spectral_norm(nn.Linear(width, width))),
        "'layer' .* a Linear with a reparametrised weight",
        "plain layer",
    ),
    "lazy": (between(nn.LazyLinear), "'layer' .* a LazyLinear, whose shapes are not known", r"Linear\(size"),
    "lazy in a list": (
        lambda width: nn.Sequential(nn.Linear(5, width), nn.Sequential(nn.LazyLinear(2))),
        "'1.0' .* a LazyLinear",
        r"Linear\(size",
    ),
    "list": (
        doing(lambda net, h: net.layer[1](h), lambda w: [None, nn.Linear(w, w)]),
        r"'layer\[1\].weight'",
        "ModuleList",
    ),
    "dict": (
        doing(lambda net, h: net.layer["a"](h), lambda w: {"a": nn.Linear(w, w)}),
        r"layer\['a'\].weight",
        "ModuleDict",
    ),
    "no parameter": (
        doing(lambda net, h: h * net.layer, lambda w: torch.ones(w, requires_grad=True)),
        "parameter 'layer' .* not registered",
        "nn.Parameter",
    ),
    "list in a dict": (between(Scaled), r"layer.held\['gains'\]\[0\]", "ParameterList"),
    "outside": (doing(lambda net, h: OUTSIDE(h)), r"a tensor of shape \[8, 8\] that wants a gradient", "attribute"),
    "batch statistics": (
        between(lambda width: nn.BatchNorm1d(width, track_running_stats=False)),
        "'layer' .* a BatchNorm1d that normalises over the batch",
        "GroupNorm or LayerNorm",
    ),
    "running statistics": (between(nn.BatchNorm1d), "'layer' .* keeps running statistics", "GroupNorm or LayerNorm"),
    "synchronised": (between(nn.SyncBatchNorm), "'layer' .* a SyncBatchNorm that keeps", "GroupNorm or LayerNorm"),
    "coupled": (
        doing(lambda net, h: h - h.mean(0)),
        "couples the examples of a batch; first seen",
        "every example by itself",
    ),
    "dropout of a function": (
        doing(lambda net, h: functional.dropout(h, 0.1, net.training)),
        "draws random numbers",
        "every dropout to 0",
    ),
    "randomised slope": (between(lambda width: nn.RReLU()), r"first seen at layer 'layer' \(RReLU\)", "every dropout to 0"),
    "encoder": (
        between(lambda width: nn.TransformerEncoderLayer(width, 2)),
        "'layer.self_attn' .* a MultiheadAttention with dropout 0.1",
        "dropout to 0",
    ),
    "mode": (doing(lambda net, h: h if net.training else 2 * h), "in evaluation mode than in training", "self.training"),
    "memory": (doing(counted), "keeps something from call to call", "nothing in attributes"),
    "hook on a parameter": (
        changed(lambda net: net.first.weight.register_hook(lambda slope: 2 * slope)),
        "gradient of 'first.weight' in a population",
        "hooks",
    ),
    "hook on a layer": (
        changed(
            lambda net: net.head.register_full_backward_hook(lambda _m, slopes, _o: tuple(2 * each for each in slopes))
        ),
        "gradient of .*'first.weight'",
        "hooks",
    ),
    "checkpoint": (
        doing(lambda net, h: checkpoint(net.layer, h, use_reentrant=False), lambda width: nn.Linear(width, width)),
        "no gradient|no population",
        "torch.utils.checkpoint",
    ),
    "reentrant checkpoint": (
        doing(lambda net, h: checkpoint(net.layer, h, use_reentrant=True), lambda width: nn.Linear(width, width)),
        "no gradient|no population",
        "torch.utils.checkpoint",
    ),
    "LSTM": (doing(recurrent, lambda w: nn.LSTM(w, w, batch_first=True)), "'layer' .* an LSTM which", "plain torch"),
    "GRU": (doing(recurrent, lambda w: nn.GRU(w, w, batch_first=True)), "'layer' .* a GRU which", "plain torch"),
    "cell": (between(lambda width: nn.RNNCell(width, width)), "'layer' .* an RNNCell which", "plain torch"),
    "complex outputs": (
        lambda width: nn.Sequential(Net(width), Cast(torch.complex64)),
        "outputs of torch.complex64",
        "real logits",
    ),
    "whole outputs": (lambda width: nn.Sequential(Net(width), Cast(torch.int64)), "outputs of torch.int64", "no argmax"),
    "two outputs": (lambda width: nn.Sequential(Net(width), Twice()), "gives tuple for 1 examples", r"\[batch, classes\]"),
    "rounded": (doing(lambda net, h: h.half().to(h.dtype)), "gradient of parameter 'first.*' .* differences", "rounded"),
    "half precision": (lambda width: nn.Sequential(Net(width), Cast(torch.float16)), "float16 for parameters", "no dtype"),
    "constant": (
        doing(lambda net, h: h @ net.layer, torch.eye),
        r"failed on inputs \[\d, 5\] of torch.float64",
        "buffers",
    ),
    "straight through": (
        doing(lambda net, h: StraightThrough.apply(4 * h) / 4),
        "gradient of parameter 'first.* is not the derivative",
        "an own gradient",
    ),
    "half detached": (
        doing(lambda net, h: h * h.detach()),
        "gradient of parameter 'first.* is not the derivative of the outputs",
        "nothing in forward may be detached",
    ),
    "wrong tangent": (
        doing(lambda net, h: WrongTangent.apply(h)),
        "forward-mode derivative",
        "a jvp that fits its backward",
    ),
    "changed weight": (doing(clamped), "'first.bias' .* is changed inside of forward", "only read parameters"),
    "no second derivative": (
        doing(lambda net, h: h + torch.cdist(h[:, None], 2 * h[:, None])[:, 0]),
        "cannot be differentiated twice.*_cdist_backward",
        "fused kernels",
    ),
}


class Cast(nn.Module):
    """Casts its inputs."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.to(self.dtype)


class Twice(nn.Module):
    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, inputs


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings(
    "ignore:.*Lazy modules are a new feature", "ignore:.*use_reentrant", "ignore:.*performance drop"
)
@pytest.mark.filterwarnings(
    "ignore:.*Casting complex values", "ignore:.*enable_nested_tensor", "ignore:.*requires_grad=True"
)
def test_a_layer_is_refused_by_name_with_what_to_do(case):
    build, message, advice = REFUSED[case]
    module = build(8) if not case.startswith("lazy") else None
    looks_up = module is not None and any(isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) for layer in module.modules())
    begin = time.process_time()
    with pytest.raises(InvalidData, match=message) as refused:
        windtunnel.tune(build, tokens() if looks_up else points(), model={"width": 8})
    assert time.process_time() - begin < 2
    assert refused.value.advice is not None
    assert re.search(advice, refused.value.advice), refused.value.advice


def test_a_lazy_layer_is_refused_in_the_table_of_roles():
    with pytest.raises(InvalidData, match=r"layer '0' is a LazyLinear"):
        windtunnel.roles(lambda width: nn.Sequential(nn.LazyLinear(width), nn.Linear(width, 2)), base=8, delta=16)


def test_old_weight_norm_is_refused():
    def build(width: int) -> nn.Module:
        with pytest.warns(FutureWarning, match="weight_norm"):
            return Net(width, nn.utils.weight_norm(nn.Linear(width, width)))

    with pytest.raises(InvalidData, match=r"'layer' .* a Linear with a reparametrised weight"):
        windtunnel.tune(build, points(), model={"width": 8})
