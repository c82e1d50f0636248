"""Says what would do instead of a loss of one's own that torch cannot call or differentiate, by what torch says of it."""

from windtunnel.types.families import TaskKind

MUST = (
    "it must be a mean of what it is for each example, which labels may weight: no sum over the batch, no quantile, and "
    "nothing that compares examples"
)
FINITE = (
    "it must be finite for every example: a mean that leaves labels out (ignore_index, a class weight of 0, a mask) "
    'divides by nothing where no other is there. Give the loss of each example, [batch] (reduction="none"), in which those '
    "count 0, or leave those examples out of the data; compare no examples, divide by no label that may be 0, and take "
    "no log or root of what may be 0 or less"
)
PRECISION = (
    "it is called in float32 and in float64: bring its constants to outputs.dtype, as in F.cross_entropy(outputs, labels, "
    "weight=W.to(outputs.dtype)); weights that an nn.Module holds as buffers, as nn.CrossEntropyLoss(weight=W) does, are "
    "brought there for you"
)
CALLED: dict[TaskKind, str] = {
    "classification": "it is called as loss(outputs, labels), with logits [batch, classes] and labels [batch]",
    "language": "it is called as loss(outputs, labels), with logits [batch, context, classes] and labels [batch, context]: "
    "F.cross_entropy(outputs.flatten(0, 1), labels.flatten()), for example",
    "regression": "it is called as loss(outputs, labels), with outputs and labels [batch]: (outputs - labels).square()"
    ".mean(), for example",
}
PLAIN = (
    "write it in plain torch, as a function of outputs and labels alone, without branches on values; nothing in it may be "
    "detached"
)
SQUARES = (
    "Where torch's own loss lacks a derivative (mse_loss, huber_loss), write it out: (outputs - labels).square().mean()"
)
BY_WORDS = {
    "multi_margin": "torch's multi-margin losses have no second derivative; write it out: "
    "(1 + outputs - outputs.gather(1, labels[:, None])).clamp(min=0).mean(1).mean()",
    "masked_select": "class weights together with label smoothing go through no population in torch; write the "
    "smoothing out, or weight the loss of each example: W.to(outputs.dtype)[labels] * F.cross_entropy(outputs, labels, "
    'reduction="none", label_smoothing=0.1)',
    "dynamic shape": "pick nothing by a mask, whose size is not known: multiply by it, as in (each * mask).sum(1) / "
    "mask.sum(1), where mask = (labels != 0).to(outputs.dtype)",
    "num_classes": "say how many classes there are: F.one_hot(labels, outputs.shape[-1])",
    "does not require grad": "it must have a gradient: nothing in it may be detached, rounded or counted (argmax, ==), and "
    "its value must depend on the outputs",
}
"""Words in torch's message -> what would do."""


def when_called(error: Exception, kind: TaskKind) -> str:
    """Advice on a loss that fails when it is called on a batch."""
    said = str(error)
    precise = "scalar type" in said or "same dtype" in said or "dtype" in said
    return PRECISION if precise else CALLED[kind]


def when_differentiated(error: Exception) -> str:
    """Advice on a loss that has no derivative, or none for each example."""
    said = str(error)
    return next((advice for words, advice in BY_WORDS.items() if words in said), f"{PLAIN}. {SQUARES}")
