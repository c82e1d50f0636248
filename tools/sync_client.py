"""Writes the blocking client from the asynchronous one, so that each call is written, documented and mended once.

``python tools/sync_client.py`` writes ``windtunnel/client/_jobs.py`` from ``windtunnel/client/_async/jobs.py`` and so on;
with ``--check`` it only says whether they are what it would write. The two differ in words alone: ``await`` goes,
``AsyncJob`` becomes ``Job``. What has no network in it lies beside the folder and serves both.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "windtunnel" / "client"
WORDS = (
    (r"windtunnel\.client\._async\.(\w+)", r"windtunnel.client._\1"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\ba(close|closing|read|iter_bytes)\b", r"\1"),
    (r"\b(\w+)_async\b", r"\1"),
)
"""Word of the asynchronous client -> word of the blocking one, in this order."""


def blocking(source: str, name: str) -> str:
    """The blocking twin of a module.

    Args:
        source: text of the asynchronous module.
        name: its file name, for the note in the twin.
    """
    for word, twin in WORDS:
        source = re.sub(word, twin, source)
    title, end, rest = source.partition('"""\n')
    note = f"# Written by tools/sync_client.py from _async/{name}: change that one.\n"
    mended = _ruff("check", title + end + note + rest, "--select=I,UP028,SIM117", "--fix-only", "--unsafe-fixes")
    return _ruff("format", mended)


def _ruff(command: str, source: str, *options: str) -> str:
    run = [sys.executable, "-m", "ruff", command, "--quiet", *options, "--stdin-filename", str(CLIENT / "_twin.py"), "-"]
    return subprocess.run(run, input=source, capture_output=True, text=True, check=True).stdout


def twins() -> dict[Path, str]:
    """Each blocking module and what it must be."""
    sources = sorted(CLIENT.glob("_async/[a-z]*.py"))
    return {CLIENT / f"_{source.name}": blocking(source.read_text(), source.name) for source in sources}


def stale() -> list[Path]:
    """Blocking modules that are not what the asynchronous ones say."""
    return [path for path, text in twins().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Write the twins, or check them."""
    parser = argparse.ArgumentParser(description="Write the blocking client from the asynchronous one.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a module is out of date")
    if parser.parse_args().check:
        for path in stale():
            sys.stderr.write(f"{path} is out of date; run: python tools/sync_client.py\n")
        return 1 if stale() else 0
    for path, text in twins().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
