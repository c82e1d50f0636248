"""The process that runs a coordinate check for a server, ``python -m workers.checking``: the server itself holds no tensor.

Standard input has the order as JSON: the spec of a small model, its values, and the data set that it names, if any.
Standard output gets the check with the digest of its data, or the reason why there is none.
"""

import json
import sys
from pathlib import Path
from typing import Any


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """The check and the digest of its data, or a refusal that the order itself causes."""
    import torch

    from hpo.errors import HpoError
    from hpo.evidence.coordcheck import coordinate_check
    from hpo.tasks import data_of
    from windtunnel.types import Dataset, JobSpec
    from windtunnel.types.tasks import named
    from workers.datasets import read

    torch.set_num_threads(1)
    dataset = None if order["dataset"] is None else Dataset.model_validate(order["dataset"])
    task = named(order["spec"]["task"]) if dataset is None else dataset.task
    spec = JobSpec.of(order["spec"], task)
    try:
        data = data_of(spec) if dataset is None else read(dataset, Path(order["data_dir"]))
        check = coordinate_check(spec, order["values"], data=data)
    except HpoError as error:
        return {"refused": str(error)}
    return {"check": check.model_dump(mode="json"), "data_sha256": data.sha256}


def main() -> None:
    """Read one order from standard input, write one answer to standard output."""
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
