"""Makes the plan of a large model from values that no job found: a sweep of one's own, a paper's table. No torch here."""

import hashlib
import json
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from math import prod

from hpo.families.facts.registry import proxy_tensors
from hpo.mup.resolve import acts, check_labels, label_for
from hpo.plans.findings import Findings
from hpo.plans.transfer import plan_of
from windtunnel.types.base import misfit
from windtunnel.types.carry import CarryRequest
from windtunnel.types.plans import TransferPlan
from windtunnel.types.results import CoordinateCheck, Provenance, ProxyFacts, TensorFacts
from windtunnel.types.translations import NoiseScale


def carried(
    request: CarryRequest,
    check: CoordinateCheck | None,
    *,
    plan_id: str,
    created_at: datetime,
    data_sha256: str = "",
    noise_scale: NoiseScale | None = None,
) -> TransferPlan:
    """Plan of the large model from given values.

    Args:
        request: values, small model and target; its task is known.
        check: coordinate check of the small model; None: none was made.
        plan_id: id of the plan.
        created_at: time at which the plan is made.
        data_sha256: digest of the data of the check; empty without data.
        noise_scale: gradient noise scale of the small model; None: not measured.

    Raises:
        Refused: the check failed or is missing and ``request.force`` is false; or no rule carries a value.
        PydanticCustomError: a label fits no tensor, a tensor has no learning rate, or the target is out of reach.
    """
    spec, values = request.spec, request.labels
    tensors = proxy_tensors(spec.model, spec.info)
    check_values(request, tensors)
    found = Findings(
        spec=spec,
        values=values,
        proxy=ProxyFacts(
            tensors=tensors,
            parameters=sum(prod(fact.shape) for fact in tensors),
            features=spec.info.features,
            classes=spec.info.classes,
        ),
        coordinate_check=check,
        provenance=Provenance(
            spec_sha256=request_sha256(request),
            data_sha256=data_sha256,
            versions={"windtunnel": version("windtunnel"), "python": platform.python_version()},
            threads=1,
            seed=spec.seed,
        ),
        noise_scale=noise_scale,
        unmeasured=left_open(request),
    )
    return plan_of(found, request.target, plan_id=plan_id, job_id=None, created_at=created_at, force=request.force)


def check_values(request: CarryRequest, tensors: Sequence[TensorFacts]) -> None:
    """Refuse a label that fits no tensor, layer or source of the small model, and a tensor without a learning rate.

    Raises:
        PydanticCustomError: with a pointer to the value.
    """
    spec, values = request.spec, request.labels
    for label, value in values.items():
        try:
            check_labels(spec, [label], tensors)
        except ValueError as error:
            raise misfit(f"/values/{label}", str(error), value) from error
        name = label.partition(".")[0]
        if not any(acts(name, fact) for fact in tensors):
            raise misfit(f"/values/{label}", f"{name} acts on no tensor of this model; leave it out", value)
    if "learning_rate" in request.optimizer.model_fields_set:
        return
    without = [fact for fact in tensors if label_for("learning_rate", fact, values) is None]
    if without:
        names = ", ".join(f"{fact.name} ({fact.role})" for fact in without[:3])
        more = f" and {len(without) - 3} more" if len(without) > 3 else ""
        raise misfit(
            "/values/learning_rate",
            f"no learning rate for {names}{more}; give learning_rate for all tensors, or one for each role: "
            + ", ".join(dict.fromkeys(f"learning_rate.{fact.role}" for fact in without)),
            None,
        )


def left_open(request: CarryRequest) -> tuple[str, ...]:
    """A sentence on the settings that the request does not give; () if it gives them all."""
    open_ = request.defaults
    if not open_:
        return ()
    named = ", ".join(f"{name} {value}" for name, value in open_.items())
    return (f"Not given with the values, and taken from the defaults: {named}. If your runs had others, give them.",)


def request_sha256(request: CarryRequest) -> str:
    """Hash of the values and of everything that was given with them, but the target."""
    decisive = request.model_dump(mode="json", exclude={"target", "force"}, exclude_unset=True)
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
