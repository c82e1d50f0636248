"""The schedule of GPT-3, at times that do not depend on the length of the run."""

from torch import Tensor

from hpo.schedules.cosine import half_cosine


def gpt3(time: Tensor, steps: int, warmup_steps: float, decay_steps: float, floor: Tensor) -> Tensor:  # noqa: ARG001
    """min(1, t / W) (floor + (1 - floor) (1 + cos(pi q)) / 2), q = (t - W) / (D - W) in [0, 1], then constant.

    Brown et al. 2020 (2005.14165), appendix B: a warmup of 375 million tokens, a cosine to 10 % at 260 billion tokens,
    counted from the start, of 300 billion. W and D are those counts over the tokens of one step, batch size times context;
    where a task has no context, one example counts as one token.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T, which plays no part.
        warmup_steps: W, not rounded, at least 0.
        decay_steps: D, above W; it may lie beyond T.
        floor: [members].
    """
    rise = (time / warmup_steps).clamp(max=1.0) if warmup_steps > 0 else 1.0
    share = ((time - warmup_steps) / (decay_steps - warmup_steps)).clamp(0.0, 1.0)
    return rise * (floor + (1 - floor) * half_cosine(share))
