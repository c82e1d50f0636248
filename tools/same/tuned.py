"""Tunes a module with ``windtunnel.tune`` and prints what it found as JSON: one case of ``requests.TUNED``.

Run by ``tools/same_results.py`` with the path of a checkout before all others; it uses what ``import windtunnel`` offers,
and the package beside it.
"""

import json
import sys

import torch
from same_modules.data import load
from same_modules.model import build

import windtunnel

FORMATS = ("json", "yaml", "torch", "huggingface", "optax", "nanogpt")


def brier(logits, labels):
    """A loss of one's own."""
    wanted = torch.nn.functional.one_hot(labels, 3)
    return (logits.softmax(-1) - wanted).square().sum(-1).mean()


def exported(plan, format_):
    """The text of an export, or the words in which it is refused."""
    try:
        return plan.to(format_)
    except Exception as error:  # noqa: BLE001 - the refusal is what is compared, whatever its class is called
        return f"refused: {error}"


def main(case):
    """Tune and print."""
    torch.set_num_threads(1)
    own_loss = case.pop("own_loss", False)
    result = windtunnel.tune(
        build,
        load(),
        loss=brier if own_loss else None,
        roles={"position": "input"},
        init_std={"position": 0.5},
        progress=False,
        **case,
    )
    plan = result.plan(width=64, steps=40, force=True)
    sys.stdout.write(
        json.dumps(
            {
                "steps": [step.model_dump(mode="json") for step in result.steps()],
                "result": result.model_dump(mode="json"),
                "exports": {name: exported(plan, name) for name in FORMATS},
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
