"""Compares what two checkouts of the project compute, bit by bit: results, estimates, plans, exports, refusals, listings.

``python tools/same_results.py OLD NEW`` runs the small jobs of ``tools/same/cases.py`` in both, on this
machine, and names case, field and both values wherever they differ. It asks through what users have: the HTTP API of a
server that is started from the checkout, the command line, ``windtunnel.tune``. So it tells whether a change of the insides
changed anything.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from same import differences, exported, side

REPOSITORY = Path(__file__).resolve().parent.parent
EPILOG = """\
examples:
  python tools/same_results.py main .                        two revisions or checkouts, whole list
  python tools/same_results.py v0.1.0 . --keep /tmp/same      save both sides' answers
  python tools/same_results.py - . --old-results /tmp/same    the old side as it was saved: half the time
  python tools/same_results.py main . --only 'schedule-*'     some cases; can be repeated
  python tools/same_results.py main . --ignore spec.method.engine --ignore spec_sha256
                                                             a change of the wire format that is meant

OLD and NEW are folders with the project, or git revisions, for which worktrees are made and removed. Bits depend on the
processor and on the versions of torch and numpy: answers that were saved on another machine are refused, and nothing of
them belongs into the repository. Every job has one thread, whatever --workers says, so that the machine's load changes no
bit. Not compared are, anywhere in an answer:
{excluded}
Replaced by a word before they are compared: {replaced}, and paths and addresses of the run.

exit status: 0 all alike, and every case ended as it is meant to; 1 something differs; 2 a side could not be asked;
3 all alike, but a case ended as it should not.
"""


def main(words: list[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    asked = _arguments(words)
    wanted = [name for name in side.names() if not asked.only or any(fnmatchcase(name, each) for each in asked.only)]
    if asked.list:
        _say("\n".join(wanted))
        return 0
    if not wanted:
        _say(f"no case is called {', '.join(asked.only)}; --list names them all")
        return 2
    try:
        return _compare(asked, wanted)
    except side.BrokenSideError as error:
        _say(f"error: {error}")
        return 2


def _compare(asked: argparse.Namespace, wanted: list[str]) -> int:
    excluded = (*differences.EXCLUDED, *asked.ignore)
    begin, here = time.monotonic(), side.machine(asked.python)
    if asked.old_results is None:
        old = {each.name: each for each in _run("old", asked.old, wanted, asked, here)}
    else:
        old = _saved(asked.old_results / "old", wanted, here)
    different, unexpected = [], []
    if asked.new_results is None:
        answers = _run("new", asked.new, wanted, asked, here)
    else:
        answers = iter(_saved(asked.new_results / "new", wanted, here).values())
    for new in answers:
        values = [each.value for each in (old[new.name], new)]
        if asked.schedules_by_value:
            values = [_by_value(value) for value in values]
        found = list(differences.differences(*values, excluded))
        if found:
            different.append(new.name)
            _say(f"  DIFFERS in {len(found)} places: {new.name}")
            for each in found[: asked.most]:
                _say(f"    {each}")
            if len(found) > asked.most:
                _say(f"    ... and {len(found) - asked.most} more; --most {len(found)} shows them all")
        if new.unexpected or old[new.name].unexpected:
            unexpected.append(new.name)
    _say(f"{len(wanted) - len(different)} of {len(wanted)} cases are the same, in {time.monotonic() - begin:.0f} s")
    if unexpected:
        _say(f"not as they are meant to end: {', '.join(unexpected)}")
    if different:
        _say(f"different: {', '.join(different)}")
        return 1
    return 3 if unexpected else 0


def _by_value(value: Any) -> Any:
    """Answers with every exported file in parts: its learning rates by value, the rest as text."""
    if isinstance(value, dict):
        return {
            name: {which: _file(each, which) for which, each in part.items()} if name == "exports" else _by_value(part)
            for name, part in value.items()
        }
    return [_by_value(each) for each in value] if isinstance(value, list) else value


def _file(answer: Any, name: str) -> Any:
    body = answer.get("body") if isinstance(answer, dict) else None
    return {**answer, "body": exported.by_value(body, name)} if isinstance(body, str) else answer


def _run(
    label: str, named: str, wanted: list[str], asked: argparse.Namespace, here: Mapping[str, str]
) -> Iterator[side.Answers]:
    """The answers of one side, told and saved as they come."""
    with side.checkout_of(named, REPOSITORY) as checkout, _folder(label) as folder:
        _say(f"{label}: {checkout}")
        keep = None if asked.keep is None else asked.keep / label
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / "machine.json").write_text(json.dumps(here, indent=1))
        running = side.Side(checkout, asked.python, folder, asked.workers, asked.patience)
        for number, answer in enumerate(running.answers(wanted), start=1):
            note = "  NOT AS IT IS MEANT TO END" if answer.unexpected else ""
            _say(f"{label} {number:3}/{len(wanted)}  {answer.seconds:5.1f} s  {answer.name}: {answer.state}{note}")
            if keep is not None:
                whole = {"state": answer.state, "unexpected": answer.unexpected, "value": answer.value}
                (keep / f"{answer.name}.json").write_text(json.dumps(_marked(whole), indent=1))
            yield answer


def _saved(folder: Path, wanted: list[str], here: Mapping[str, str]) -> dict[str, side.Answers]:
    """The answers that ``--keep`` saved.

    Raises:
        BrokenSideError: a case is missing, or they were made on another machine.
    """
    try:
        there = json.loads((folder / "machine.json").read_text())
        if there != here:
            raise side.BrokenSideError(f"{folder} was made elsewhere: {there}; here: {dict(here)}. Run the old side again")
        whole = {name: _unmarked(json.loads((folder / f"{name}.json").read_text())) for name in wanted}
    except OSError as error:
        raise side.BrokenSideError(f"no saved answers: {error}. Run the old side again, with --keep") from error
    return {name: side.Answers(name, it["value"], 0.0, it["state"], it["unexpected"]) for name, it in whole.items()}


def _marked(value: Any) -> Any:
    """A value as it is saved: numbers, which are kept as they were written, become ``{"#": text}``."""
    if isinstance(value, dict):
        return {name: _marked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_marked(each) for each in value]
    return {"#": str(value)} if isinstance(value, differences.Number) else value


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"#"}:
            return differences.Number(value["#"])
        return {name: _unmarked(each) for name, each in value.items()}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value


@contextmanager
def _folder(label: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"same-{label}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def _arguments(words: list[str] | None) -> argparse.Namespace:
    told = "\n".join(f"  {name:20} {why}" for name, why in differences.EXCLUDED.items())
    parser = argparse.ArgumentParser(
        prog="same_results.py",
        description=__doc__,
        epilog=EPILOG.format(excluded=told, replaced=", ".join(differences.REPLACED)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="checkout or revision to compare with; - with --old-results")
    parser.add_argument("new", metavar="NEW", help="checkout or revision that changed")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="cases to run; * and ? are wildcards")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="save the answers as FOLDER/old and FOLDER/new")
    parser.add_argument(
        "--old-results", type=Path, metavar="FOLDER", help="take the old side's answers from FOLDER/old; OLD is not run"
    )
    parser.add_argument(
        "--new-results", type=Path, metavar="FOLDER", help="take the new side's answers from FOLDER/new; NEW is not run"
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="FIELD", help="another field, or end of a path, not to compare"
    )
    parser.add_argument(
        "--schedules-by-value",
        action="store_true",
        help="compare the learning rates that exported files compute, not the text that computes them; YAML by content",
    )
    parser.add_argument("--python", default=sys.executable, help="interpreter of both sides (default: this one)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="jobs at the same time (default: 1)")
    parser.add_argument(
        "--patience", type=float, default=600.0, metavar="SECONDS", help="longest wait for a job (default: 600)"
    )
    parser.add_argument("--most", type=int, default=12, metavar="N", help="differences shown of a case (default: 12)")
    asked = parser.parse_args(words)
    if asked.old == "-" and asked.old_results is None and not asked.list:
        parser.error("OLD is -, which needs --old-results")
    return asked


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # The server of a side must end with the script, also where somebody ends that by a signal.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
