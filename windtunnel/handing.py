"""Reads the data that are handed to ``windtunnel.tune``: tensors of the right kind, or a refusal that names the part."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from windtunnel.client._errors import InvalidRequest
from windtunnel.types.families import TaskKind
from windtunnel.types.modules import InputKind

if TYPE_CHECKING:
    from torch import Tensor, nn

PARTS = ("training", "validation", "test")
PIECES = ("inputs", "labels", "sources")
SHAPE = "data must be (train, validation, test), each (inputs, labels) or (inputs, labels, sources)"
INPUTS = ("input_ids", "pixel_values", "inputs")
"""Names of the inputs in a batch that is a dictionary, as Hugging Face's are."""
LARGE = 1e3
"""Size of an input above which there is a warning."""
IGNORED: dict[TaskKind, str] = {
    "classification": "leave those examples out of the data",
    "language": "give padding a token of its own, 0 for example, and a loss that ignores it: loss=lambda outputs, labels: "
    "F.cross_entropy(outputs.flatten(0, 1), labels.flatten(), ignore_index=0)",
}
"""Advice on labels below 0, by kind of task."""
FLOATS = "floats, such as x.float(); pixels from 0 to 255 as x.float() / 255"


def parts_of(data: Any, kind: TaskKind, classes: int | None) -> "list[tuple[Tensor, ...]]":
    """The three parts as tensors on the CPU: inputs, labels of the kind of task, sources if there are any.

    Args:
        data: (train, validation, test), each (inputs, labels) or (inputs, labels, sources), as tensors, arrays or lists.
        kind: kind of the task.
        classes: number of classes; None: told by the labels.

    Raises:
        InvalidRequest: something is no array of numbers, or has another shape, other labels or other numbers than the task
            needs. The message names it as ``data[part][piece]``.
    """
    data = list(data) if isinstance(data, Iterator) else data
    if not isinstance(data, (tuple, list)) or len(data) != 3:
        given = f"{len(data)} of them" if isinstance(data, (tuple, list)) else f"a {type(data).__name__}"
        raise InvalidRequest(f"{SHAPE}; it is {given}")
    found = [_part(number, part, kind, classes) for number, part in enumerate(data)]
    for number, part in enumerate(found[1:], 1):
        if part[0].shape[1:] != found[0][0].shape[1:]:
            raise InvalidRequest(
                f"{_name(number, 0)} have examples of shape {list(part[0].shape[1:])}, and {_name(0, 0)} of shape "
                f"{list(found[0][0].shape[1:])}; give all parts the same"
            )
        if part[0].is_floating_point() != found[0][0].is_floating_point():
            raise InvalidRequest(
                f"{_name(number, 0)} are {_type(part[0])}, and {_name(0, 0)} {_type(found[0][0])}; give all parts the same"
            )
    return found


def input_kind(inputs: "Sequence[Tensor]", kind: TaskKind, given: InputKind | None) -> InputKind:
    """``floats`` or ``tokens``: as given, else told by the kind of task and the type of the inputs.

    Raises:
        InvalidRequest: the inputs are not what is given.
    """
    first = inputs[0]
    import torch

    whole = not first.is_floating_point() and first.dtype != torch.bool
    told: InputKind = given or ("tokens" if kind == "language" or whole else "floats")
    if told == "tokens" and not whole:
        raise InvalidRequest(
            f"{_name(0, 0)} are {_type(first)}, and tokens are whole numbers that index a vocabulary; give x.long()"
            + ("" if kind == "language" else ", or inputs='floats'")
        )
    if told == "tokens" and int(first.min()) < 0:
        raise InvalidRequest(
            f"{_name(0, 0)} are whole numbers from {int(first.min())} on, and tokens begin at 0. If they are "
            f"measurements or pixels, give {FLOATS}; or say inputs='floats'"
        )
    return told


def try_module(module: "nn.Module", first: "Tensor", told: InputKind, given: InputKind | None) -> None:
    """Call a module on two examples, as a job does.

    Args:
        module: the module; numbers are handed to it in the dtype of its trained parameters.
        first: inputs of the training part, as they were handed over.
        told: kind of the inputs.
        given: the same where the caller has said it; None: it was told by their type.

    Raises:
        InvalidRequest: the module cannot take them; the message says what would do.
    """
    import torch

    floats = next((value.dtype for value in module.parameters() if value.requires_grad), torch.float32)
    inputs = first[:2].to(torch.int64 if told == "tokens" else floats)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module(inputs)
    except Exception as error:
        said = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200].replace('dtype', 'type')}"
        if told == "tokens" and given is None:
            raise InvalidRequest(
                f"{_name(0, 0)} are {_type(first)}, whole numbers from {int(first.min())} to {int(first.max())}, so the "
                f"module was called with token ids, and failed ({said}). If they are measurements or pixels, give "
                f"{FLOATS}; or say inputs='floats', which casts them as they are"
            ) from error
        raise InvalidRequest(
            f"the module failed on two examples of {_name(0, 0)}, {list(inputs.shape)} of {_type(inputs)} ({said}). It is "
            "called as module(inputs) with inputs [batch, *shape of an example]: floats as its parameters are, tokens int64"
        ) from error


def warn_of_size(first: "Tensor") -> None:
    """Warn of inputs that are so large that no learning rate suits them, unless the module scales them itself."""
    import torch

    if first.dtype == torch.bool:
        return
    sizes = first.abs().flatten(1).amax(0) if first.dim() > 1 else first.abs().amax().view(1)
    feature = int(sizes.argmax())
    if float(sizes[feature]) > LARGE:
        where = f" in feature {feature}" if len(sizes) > 1 else ""
        warnings.warn(
            f"{_name(0, 0)} run up to {float(sizes[feature]):.4g}{where}. Unless the module scales them itself, subtract "
            "the mean over the training part and divide by the standard deviation, in all three parts",
            stacklevel=4,
        )


def one_batch(data: Any) -> "tuple[Tensor, Tensor | None]":
    """(inputs, labels) as tensors on the CPU; labels None where there are none. Labels that are the inputs are shifted.

    Args:
        data: (inputs, labels), a dictionary with ``input_ids`` or ``pixel_values`` and ``labels``, or inputs alone.

    Raises:
        InvalidRequest: something is no array of numbers, or there is not a label for each example.
    """
    pieces = _pieces(data)
    if not isinstance(pieces, (tuple, list)) or len(pieces) != 2:
        pieces = (pieces, None)
    inputs = _tensor("inputs", pieces[0])
    _finite("inputs", inputs)
    if pieces[1] is None:
        return inputs, None
    labels = _tensor("labels", pieces[1])
    _finite("labels", labels)
    if not labels.dim() or len(labels) != len(inputs):
        raise InvalidRequest(f"labels have shape {list(labels.shape)} for {len(inputs)} examples; give one for each")
    return shifted(inputs, labels)


def shifted(inputs: "Tensor", labels: "Tensor") -> "tuple[Tensor, Tensor]":
    """Inputs and the tokens that follow them; as given, unless the labels are the inputs.

    Causal models of Hugging Face take their inputs as labels and shift them inside. Here a label is the token that follows.
    """
    import torch

    alike = inputs.dim() == 2 and inputs.shape == labels.shape and not inputs.is_floating_point()
    if not alike or not torch.equal(inputs.long(), labels.long()):
        return inputs, labels
    warnings.warn(
        "the labels are the inputs themselves, as Hugging Face's causal models take them: they are shifted by one token, "
        "so that each label is the token that follows",
        stacklevel=5,
    )
    return inputs[:, :-1].contiguous(), labels[:, 1:].contiguous()


def _pieces(part: Any) -> Any:
    """(inputs, labels) of a batch that is a dictionary; anything else as it is."""
    if not isinstance(part, Mapping):
        return part
    inputs = [name for name in INPUTS if name in part]
    if len(inputs) != 1:
        raise InvalidRequest(
            f"a batch has {', '.join(map(repr, part)) or 'nothing'}; give one of {', '.join(INPUTS)}, and labels"
        )
    masks = part.get("attention_mask")
    if masks is not None and not _tensor("attention_mask", masks).bool().all():
        raise InvalidRequest(
            "attention_mask hides tokens, and the module is called with inputs alone; give whole windows without padding"
        )
    return (part[inputs[0]], part["labels"]) if "labels" in part else part[inputs[0]]


def _part(number: int, part: Any, kind: TaskKind, classes: int | None) -> "tuple[Tensor, ...]":
    part = _pieces(part)
    if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
        given = f"has {len(part)} pieces" if isinstance(part, (tuple, list)) else f"is a {type(part).__name__}"
        raise InvalidRequest(f"{SHAPE}; data[{number}], the {PARTS[number]} part, {given}")
    pieces = [_tensor(_name(number, place), piece) for place, piece in enumerate(part)]
    for place, piece in enumerate(pieces):
        if not piece.dim():
            raise InvalidRequest(f"{_name(number, place)} are one number; give an array with one entry for each example")
        if len(piece) != len(pieces[0]):
            raise InvalidRequest(
                f"{_name(number, place)} have {len(piece)} examples, and {_name(number, 0)} {len(pieces[0])}; give one "
                "for each"
            )
    if not len(pieces[0]) or not pieces[0].numel():
        raise InvalidRequest(f"every part of the data needs at least one example; {_name(number, 0)} have none")
    _finite(_name(number, 0), pieces[0])
    if kind == "language":
        pieces[:2] = shifted(pieces[0], pieces[1])
    pieces[1] = _labels(_name(number, 1), pieces[1], pieces[0], kind, classes)
    if len(pieces) == 3 and (pieces[2].is_floating_point() or pieces[2].dim() != 1):
        raise InvalidRequest(
            f"{_name(number, 2)} are {_type(pieces[2])} of shape {list(pieces[2].shape)}; give one whole number for each "
            "example, an index into sources"
        )
    return tuple(pieces)


def _name(number: int, place: int) -> str:
    return f"data[{number}][{place}] ({PARTS[number]} {PIECES[place]})"


def _type(value: "Tensor") -> str:
    return str(value.dtype).removeprefix("torch.")


def _tensor(name: str, piece: Any) -> "Tensor":
    """A dense tensor of numbers on the CPU, without a graph."""
    import numpy
    import torch

    if isinstance(piece, torch.Tensor):
        # Another tensor only where it must be: the caller's own is kept with the result.
        found = piece.detach() if piece.requires_grad else piece
    elif isinstance(piece, (list, tuple)) and piece and all(isinstance(each, torch.Tensor) for each in piece):
        if len({each.shape for each in piece}) > 1:
            raise InvalidRequest(f"{name} are tensors of different shapes; give examples of one shape")
        found = torch.stack(list(piece)).detach()
    else:
        found = _from_array(name, piece, numpy)
    if found.layout != torch.strided or found.is_quantized or found.is_meta:
        raise InvalidRequest(f"{name} are a sparse, quantized or meta tensor; give plain floats, such as x.to_dense()")
    if found.is_complex():
        raise InvalidRequest(f"{name} are {_type(found)}; give real numbers, such as torch.view_as_real(x)")
    found = found.cpu().contiguous()
    # Torch has no minimum of these.
    return found.to(torch.int64) if found.dtype in (torch.uint16, torch.uint32, torch.uint64) else found


def _from_array(name: str, piece: Any, numpy: Any) -> "Tensor":
    import torch

    try:
        array = numpy.asarray(piece)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{name} are no array: {error}; give numbers, every example of the same shape") from error
    if array.dtype.kind not in "biuf":
        kinds = {"O": "objects", "U": "text", "S": "text", "c": "complex numbers", "M": "dates", "m": "times"}
        what = kinds.get(array.dtype.kind, str(array.dtype))
        example = f", such as {array.flat[0]!r:.60}" if array.size else ""
        raise InvalidRequest(
            f"{name} are {what}{example} ({type(piece).__name__}); give an array or tensor of numbers: text and categories "
            "as class ids (0, 1, 2, ...), no missing values, every example of the same shape"
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(numpy.float64)
    # A copy in the machine's own order of bytes: torch takes no other, no negative strides, and no read-only memory.
    return torch.from_numpy(numpy.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def _finite(name: str, values: "Tensor") -> None:
    if not values.is_floating_point() or values.isfinite().all():
        return
    lost = (~values.isfinite()).nonzero()
    at, value = lost[0].tolist(), float(values[tuple(lost[0])])
    where = f"row {at[0]}" + (f", column {at[1]}" if len(at) == 2 else f", at {at[1:]}" if len(at) > 2 else "")
    more = f", and {len(lost) - 1} more are not finite" if len(lost) > 1 else ""
    raise InvalidRequest(
        f"{name} are {value:g} in {where}{more}; every number must be finite: fill it in, or leave the example out"
    )


def _labels(name: str, labels: "Tensor", inputs: "Tensor", kind: TaskKind, classes: int | None) -> "Tensor":
    """Labels of the kind of task: numbers [examples], class ids [examples], or tokens shaped as the inputs."""
    import torch

    wanted = inputs.shape if kind == "language" else inputs.shape[:1]
    if labels.shape != wanted:
        advice = f"give {list(wanted)}"
        if kind == "classification" and labels.dim() == 2 and labels.shape[1] > 1:
            advice += ": the class of each example, of one-hot rows y.argmax(1)"
        elif labels.dim() == 2 and labels.shape[1] == 1:
            advice += ": y.squeeze(1)"
        elif kind == "regression":
            advice += ": one number for each example"
        raise InvalidRequest(f"{name} have shape {list(labels.shape)}; {advice}")
    if kind == "regression":
        _finite(name, labels)
        return labels if labels.is_floating_point() else labels.to(torch.float64)
    if labels.is_floating_point():
        which = "next tokens" if kind == "language" else "class of each example"
        raise InvalidRequest(
            f"{name} are {_type(labels)}; give whole numbers, the {which}: y.long(). For numbers to predict "
            "say kind='regression'"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        row = int((labels < 0).nonzero()[0][0])
        raise InvalidRequest(
            f"{name} are {low} at the least, first below 0 in row {row}; classes and tokens begin at 0. A label that is to "
            f"be ignored (-100) is none: {IGNORED[kind]}"
        )
    if classes is not None and high >= classes:
        row = int((labels >= classes).nonzero()[0][0])
        raise InvalidRequest(
            f"{name} have class {int(labels[row].max())} in row {row}; classes={classes} allows 0 to {classes - 1}"
        )
    if kind == "classification" and classes is None and low == high:
        raise InvalidRequest(f"{name} are all {low}: there is nothing to tell apart; give examples of two classes or more")
    return labels.to(torch.int64)


__all__ = ["input_kind", "one_batch", "parts_of", "shifted", "try_module", "warn_of_size"]
