"""Runs the cases in one checkout: through its server, its command line and ``windtunnel.tune``."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from same import cases, differences, requests

HERE = Path(__file__).resolve().parent
OWN = ("hpo", "service", "store", "windtunnel", "workers")
"""Packages that must come from the checkout."""
ENDS = ("succeeded", "failed", "cancelled")
LOOK = 0.1
"""Seconds between two looks at a job."""
BOUNDARY = "same-results"
"""Between the fields of an upload."""
START = 120.0
"""Seconds in which the server must listen."""


class BrokenSideError(Exception):
    """The checkout cannot be asked: it does not start, or its code is not what runs."""


@dataclass(frozen=True)
class Answers:
    """What a checkout says in one case."""

    name: str
    value: dict[str, Any]
    """JSON with its numbers as they are written."""
    seconds: float
    state: str = "answered"
    unexpected: bool = False
    """Whether a job did not end as its case means it to, or another request failed that is meant to succeed."""


class Side:
    """One checkout with a server and its worker.

    Args:
        checkout: root of the project.
        python: the interpreter.
        folder: an empty folder for the database and all else.
        workers: jobs that run at the same time, one thread each.
        patience: seconds that a job may take.
    """

    def __init__(self, checkout: Path, python: str, folder: Path, workers: int, patience: float) -> None:
        self.checkout, self.python, self.folder, self.patience = checkout, python, folder, patience
        self.workers = workers
        self.packages = folder / "packages"
        shutil.copytree(HERE / "package", self.packages, ignore=shutil.ignore_patterns("__pycache__"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WINDTUNNEL_")}
        self.environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join((str(checkout), str(self.packages))),
            "PYTHONHASHSEED": "0",
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            # Settings that decide what a job does, and polls that would only cost time.
            "WINDTUNNEL_MAX_POPULATION_BYTES": str(4 * 2**30),
            "WINDTUNNEL_POLL": "0.05",
            "WINDTUNNEL_SLICE": "86400",
            "WINDTUNNEL_REQUESTS_PER_MINUTE": "0",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        self.places = {str(folder): "FOLDER", str(checkout): "CHECKOUT"}
        self.url = ""
        self.tasks: dict[str, str] = {}

    def run(self, *words: str, timeout: float | None = None) -> dict[str, Any]:
        """What a Python command says: exit status, standard output (read where it is JSON) and standard error."""
        done = subprocess.run(
            [self.python, *words],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout or self.patience,
            check=False,
        )
        return {"exit": done.returncode, "stdout": self.read(done.stdout), "stderr": self.read(done.stderr)}

    def read(self, text: str) -> Any:
        """JSON, or the text itself where it is none, without ids, times and places of this run."""
        text = differences.plain(text, self.places)
        try:
            return differences.read(text)
        except ValueError:
            return text

    def check_that_its_code_runs(self) -> None:
        """Raise unless every package of the project comes from the checkout."""
        asked = f"import importlib.util as u; print(*(u.find_spec(n).origin for n in {OWN!r}), sep='\\n')"
        said = subprocess.run(
            [self.python, "-c", asked], cwd=self.checkout, env=self.environment, capture_output=True, text=True, check=False
        )
        found = [Path(line).resolve() for line in said.stdout.split("\n") if line]
        if len(found) != len(OWN) or not all(path.is_relative_to(self.checkout) for path in found):
            raise BrokenSideError(f"{self.checkout} is not what runs: {said.stdout}{said.stderr}")

    def make_table(self) -> None:
        """Write the table of the module's roles, which its package ships, as the checkout itself writes it."""
        table = self.packages / "same_modules" / "module.json"
        said = self.run("-m", "windtunnel", "roles", "same_modules.task:TASK", "--save", str(table))
        if said["exit"] != 0:
            raise BrokenSideError(f"{self.checkout} writes no table of roles: {said['stderr']}")

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The server and its worker, for as long as the block runs."""
        log = self.folder / "server.log"
        words = ("serve", "--port", "0", "--data-dir", str(self.folder / "data"))
        slots = ("--workers", str(self.workers), "--threads", "1")
        with log.open("w") as to:
            process = subprocess.Popen(
                [self.python, "-m", "windtunnel", *words, *slots],
                cwd=self.checkout,
                env=self.environment,
                stdout=to,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait(process, log)
            self.places[self.url] = "SERVER"
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end and process.poll() is None:
            if found := re.search(r"listens on (http://\S+)", log.read_text()):
                self.url = found.group(1)
                # It says so a moment before it answers.
                with contextlib.suppress(BrokenSideError):
                    if self.raw("GET", "/readyz")[0] == 200:
                        return
            time.sleep(LOOK)
        raise BrokenSideError(f"the server of {self.checkout} does not listen; its log:\n{log.read_text()[-4000:]}")

    def raw(self, method: str, path: str, body: Any = None, media: str = "application/json") -> tuple[int, str]:
        """Status and text of an answer; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": media, "accept": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.patience) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            raise BrokenSideError(f"the server of {self.checkout} does not answer: {error}") from error

    def upload(self, name: str) -> Answers:
        """Upload a data set, whose id is what the cases mean by its name from now on."""
        parts = []
        for field, value in requests.UPLOADS[name].items():
            file, text = value if isinstance(value, tuple) else (None, value)
            called = f'name="{field}"' + (f'; filename="{file}"' if file else "")
            parts.append(f"--{BOUNDARY}\r\ncontent-disposition: form-data; {called}\r\n\r\n{text}\r\n")
        body = "".join((*parts, f"--{BOUNDARY}--\r\n")).encode()
        status, answer = self.raw("POST", "/v1/datasets", body, f"multipart/form-data; boundary={BOUNDARY}")
        if status == 201:
            self.tasks[name] = json.loads(answer)["id"]
        value = {"status": status, "body": self.read(answer)}
        return Answers(f"upload-{name[1:]}", value, 0.0, str(status), unexpected=status != 201)

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Status and body of an answer, as it is compared."""
        status, text = self.raw(method, path, body)
        return {"status": status, "body": self.read(text)}

    def job(self, case: cases.Case, job_id: str, estimate: dict[str, Any]) -> Answers:
        """Wait for a job and ask for all that it has."""
        begin = time.monotonic()
        answers: dict[str, Any] = {"estimate": estimate}
        at, end = f"/v1/jobs/{job_id}", begin + self.patience
        while (state := json.loads(self.raw("GET", at)[1])["state"]) not in ENDS:
            if time.monotonic() > end:
                raise BrokenSideError(f"{case.name} does not end within {self.patience:g} s; its state: {state}")
            time.sleep(LOOK)
        for part in ("events", "metrics", "result"):
            answers[part] = self.ask("GET", f"{at}/{part}")
        if state == "succeeded":
            answers["plans"] = {name: self.plan(at, body) for name, body in requests.plans(case.spec).items()}
        answers["job"] = self.ask("GET", at)
        unexpected = state != case.ends or estimate["status"] != 200
        return Answers(case.name, answers, time.monotonic() - begin, state, unexpected=unexpected)

    def plan(self, job: str, body: cases.Spec) -> dict[str, Any]:
        """A plan and what it is exported as, or why there is none."""
        status, text = self.raw("POST", f"{job}/plans", body)
        made: dict[str, Any] = {"status": status, "body": self.read(text)}
        if status == 201:
            plan_id = json.loads(text)["id"]
            made["exports"] = {name: self.ask("GET", f"/v1/plans/{plan_id}?format={name}") for name in requests.FORMATS}
        return made

    def answers(self, wanted: Collection[str]) -> Iterator[Answers]:
        """What the checkout says in every case of the given names, in the order of ``cases``."""
        self.check_that_its_code_runs()
        self.make_table()
        jobs = [case for case in cases.CASES if case.name in wanted]
        with self.serving():
            if "listings" in wanted:
                yield Answers("listings", {path: self.ask("GET", path) for path in requests.LISTINGS}, 0.0)
            for name, spec in requests.BAD.items():
                if f"bad-{name}" in wanted:
                    refused, estimate = self.ask("POST", "/v1/jobs", spec), self.ask("POST", "/v1/estimates", spec)
                    value = {"job": refused, "estimate": estimate}
                    yield Answers(f"bad-{name}", value, 0.0, str(refused["status"]), unexpected=refused["status"] != 422)
            for name in requests.UPLOADS:
                answer = self.upload(name)
                if answer.name in wanted:
                    yield answer
            specs = [{**case.spec, "task": self.tasks.get(case.spec["task"], case.spec["task"])} for case in jobs]
            # Before any job runs, for from then on an estimate has the speed that the worker measured of this machine.
            estimates = [self.ask("POST", "/v1/estimates", spec) for spec in specs]
            sent = [self.raw("POST", "/v1/jobs", spec) for spec in specs]
            for case, estimate, (status, text) in zip(jobs, estimates, sent, strict=True):
                if status == 201:
                    yield self.job(case, json.loads(text)["id"], estimate)
                else:
                    refusal = {"status": status, "body": self.read(text)}
                    yield Answers(case.name, {"estimate": estimate, "job": refusal}, 0.0, str(status), unexpected=True)
        for name, words in requests.COMMANDS.items():
            if name in wanted:
                yield self._command(name, "-m", "windtunnel", *words)
        for name, keywords in requests.TUNED.items():
            if name in wanted:
                said = self._command(name, str(HERE / "tuned.py"), json.dumps(keywords))
                yield Answers(name, said.value, said.seconds, said.state, unexpected=said.value["exit"] != 0)

    def _command(self, name: str, *words: str) -> Answers:
        begin = time.monotonic()
        said = self.run(*words)
        return Answers(name, said, time.monotonic() - begin, f"exit {said['exit']}")


def names() -> list[str]:
    """Every name that ``answers`` knows, in its order."""
    bad = [f"bad-{name}" for name in requests.BAD]
    uploads = [f"upload-{name[1:]}" for name in requests.UPLOADS]
    return ["listings", *bad, *uploads, *(case.name for case in cases.CASES), *requests.COMMANDS, *requests.TUNED]


@contextlib.contextmanager
def checkout_of(named: str, repository: Path) -> Iterator[Path]:
    """The root of a checkout: the path that is named, or a temporary git worktree of the revision that is named.

    Raises:
        BrokenSideError: it is neither.
    """
    path = Path(named)
    if (path / "windtunnel").is_dir():
        yield path.resolve()
        return
    git = shutil.which("git") or "git"
    with tempfile.TemporaryDirectory(prefix="same-checkout-") as folder:
        place = Path(folder).resolve() / "tree"
        add = [git, "-C", str(repository), "worktree", "add", "--detach", str(place), named]
        made = subprocess.run(add, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise BrokenSideError(f"{named} is no checkout of the project and no revision of it: {made.stderr.strip()}")
        try:
            yield place
        finally:
            remove = [git, "-C", str(repository), "worktree", "remove", "--force", str(place)]
            subprocess.run(remove, capture_output=True, check=False)


def machine(python: str) -> dict[str, str]:
    """What the bits of a result depend on besides the code: processor, interpreter, torch."""
    asked = (
        "import json, platform, sys, importlib.metadata as m; "
        "print(json.dumps({'python': sys.version, 'torch': m.version('torch'), 'numpy': m.version('numpy')}))"
    )
    said = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else []
    return {**json.loads(said.stdout), "processor": models[0] if models else sys.platform}
