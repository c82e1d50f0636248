"""The examples of the page on plans run as they are written, each in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpo.exports.registry import export
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
@pytest.mark.parametrize(
    ("kinds", "libraries"),
    [(("torch", "json", "huggingface"), ("transformers", "accelerate")), (("optax",), ("jax", "optax"))],
)
def test_every_example_runs(
    finish, plan_of, needs, tmp_path: Path, kinds: tuple[str, ...], libraries: tuple[str, ...]
) -> None:
    needs(*libraries)
    plan = plan_of(finish({}), width=128, steps=5)
    for kind in kinds:
        (tmp_path / FILES[kind]).write_text(export(plan, kind))
        (tmp_path / f"{kind}_example.py").write_text(example(kind))
    files = ", ".join(repr(f"{kind}_example.py") for kind in kinds)
    code = f"import runpy, sys; sys.path.insert(0, '.'); [runpy.run_path(file) for file in ({files},)]"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d\.\d", done.stdout)


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_format_has_its_row_and_its_section(kind: str) -> None:
    assert f"| [`{kind}`]" in PAGE or f", [`{kind}`]" in PAGE
    assert f"\n## {kind}\n" in PAGE or kind in ("json", "yaml")
