"""Writes the docstring at the head of an exported file: its content, its use, its limits. No torch here."""

import textwrap
from collections.abc import Sequence

from windtunnel.types.plans import TransferPlan


def header(plan: TransferPlan, title: str, needs: str, usage: Sequence[str], loop: str) -> str:
    """Text of the docstring, without its quotes.

    Args:
        plan: the plan.
        title: content of the file, as the first words of "... of transfer plan ...".
        needs: a sentence on the libraries that the file needs.
        usage: lines of example code that uses the file.
        loop: a sentence before the list of parts that no optimizer can do (``plan.in_your_loop``).
    """
    check = "no coordinate check" if plan.coordinate_check is None else f"coordinate check: {plan.coordinate_check.verdict}"
    forced = ", plan forced" if plan.forced else ""
    given = plan.job_id is None
    origin = "from given values" if given else f"tuned on {plan.task!r}"
    lines = [
        f"{title} of transfer plan {plan.id}, {origin}.",
        "",
        f"{plan.model.info.title} of width {plan.width} and depth {plan.depth}, parametrization "
        f"{plan.parametrization!r}. Its values were",
        f"{'given for' if given else 'tuned at'} width {plan.model.width} and depth {plan.model.depth} ({check}{forced}).",
        needs,
        "",
        *(f"    {line}" if line else "" for line in usage),
    ]
    if plan.in_your_loop:
        lines += ["", *textwrap.wrap(loop, 110), *map(_item, plan.in_your_loop)]
    if plan.not_covered:
        lines += ["", "What the theory behind these values does not cover:", *map(_item, plan.not_covered)]
    # The text becomes a docstring: nothing in it may end the string or start an escape sequence.
    return "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")


def _item(sentence: str) -> str:
    """A sentence as a wrapped list item."""
    return textwrap.fill(f"* {sentence}", 110, subsequent_indent="  ")
