"""docs/reference/client.md names all of the client, and its examples are code that runs."""

import pathlib
import re

from windtunnel import client as package

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "client.md").read_text()


def test_every_public_class_is_named():
    for name in package.__all__:
        assert f"`{name}`" in PAGE or f"\n## {name}\n" in PAGE, name


def test_the_examples_are_python_and_the_events_of_a_job_can_be_matched_as_the_page_does(finished, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "client.md", "exec")
    exec(blocks[2], {"job": finished})
    steps = [f"{step.outer_step} {step.loss}" for step in finished.follow()]
    assert capsys.readouterr().out.splitlines()[: len(steps)] == steps
