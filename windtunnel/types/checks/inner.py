"""Checks that the estimators of a job work in the precision of its runs, and on parts of their batches."""

from windtunnel.types.base import misfit
from windtunnel.types.estimators import ESTIMATORS
from windtunnel.types.method import MethodSpec


def check_precision(precision: str, method: MethodSpec) -> None:
    """Refuse bf16 with an estimator, or with a best response beside it, that would compute noise or ignore it."""
    if precision == "float32":
        return
    able = ", ".join(info.name for info in ESTIMATORS.values() if not info.why_not_bf16)
    for name in (method.estimator, method.best_response):
        if name is not None and (why := ESTIMATORS[name].why_not_bf16):
            raise misfit(
                "/inner/precision",
                f"precision {precision!r} with {name!r}, which {why}; allowed: float32, or an estimator that works in it "
                f"({able})",
                precision,
            )


def check_micro_batches(size: int | None, batch: int, method: MethodSpec) -> None:
    """Refuse parts that are larger than the batch, and an estimator that needs the whole batch at once."""
    if size is None:
        return
    if size > batch:
        raise misfit(
            "/inner/micro_batch_size",
            f"micro_batch_size {size} is larger than batch_size {batch}; allowed: 1 to {batch}, or leave it out",
            size,
        )
    able = ", ".join(info.name for info in ESTIMATORS.values() if not info.why_whole_batches)
    for name in (method.estimator, method.best_response):
        if name is not None and (why := ESTIMATORS[name].why_whole_batches):
            raise misfit(
                "/inner/micro_batch_size",
                f"micro_batch_size {size} with {name!r}, which {why}; leave it out, or use an estimator that goes "
                f"through a batch in parts ({able})",
                size,
            )
