"""The examples of the page on plans run as they are written, each in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpo.mup.export import export
from windtunnel.types.exports import EXPORTS

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "use-a-plan.md").read_text()
FILES = {
    "torch": "large_model.py",
    "huggingface": "large_trainer.py",
    "optax": "large_optimizer.py",
    "json": "plan.json",
}


def example(kind: str) -> str:
    """The Python of a format's section."""
    heading = "json and yaml" if kind == "json" else kind
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_every_example_runs(finish, plan_of, needs, tmp_path: Path, kind: str) -> None:
    needs(*{"huggingface": ("transformers", "accelerate"), "optax": ("jax", "optax")}.get(kind, ()))
    (tmp_path / FILES[kind]).write_text(export(plan_of(finish({}), width=128, steps=5), kind))
    (tmp_path / "example.py").write_text(example(kind))
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    if kind != "json":
        assert re.search(r"\d\.\d", done.stdout)


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_format_has_its_row_and_its_section(kind: str) -> None:
    assert f"| [`{kind}`]" in PAGE or f", [`{kind}`]" in PAGE
    assert f"\n## {kind}\n" in PAGE or kind in ("json", "yaml")
