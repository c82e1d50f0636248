"""Facts of implicit differentiation at the trained weights. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import BACKWARD_UPDATE, BYTES, SECOND_ORDER, Memory
from hpo.footprint.sizes import Sizes
from windtunnel.types.method import Solver

EXAMPLES = 1024
"""Training examples that the linear system is made of, at most."""
SOLVERS: dict[Solver, str] = {
    "cg": "{} steps of conjugate gradients",
    "neumann": "{} terms of the Neumann series",
    "nystrom": "the Nystrom approximation of rank {}",
}


@dataclass(frozen=True)
class ImplicitFacts(EstimatorFacts):
    """A plain run, then the solve of a linear system on a part of the training set."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        spec, steps = sizes.spec, sizes.spec.method.iterations
        size = min(EXAMPLES, sizes.task.train_examples) / spec.inner.batch_size
        # Ten products for the largest eigenvalue, and a second look of the sketch; then the residual and what is mixed.
        products = {"cg": steps, "neumann": 10 + steps, "nystrom": 2 * steps}
        return spec.inner.steps + (1 + 2 * (products[spec.method.solver_kind] + 2)) * size

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak of an outer step's hypergradients, bytes.

        A graph of the training gradient on the system's examples, and the vectors of the solve.
        """
        memory, method = Memory(sizes), sizes.spec.method
        saved = BYTES * sizes.footprint.saved * min(EXAMPLES, sizes.task.train_examples)
        vectors = 3 * method.iterations if method.solver_kind == "nystrom" else 8
        solve = int(SECOND_ORDER / 2 * saved + (BACKWARD_UPDATE + vectors) * memory.parameters)
        return sizes.spec.inner.seeds * (solve + memory.slope)

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        method = sizes.spec.method
        solver = SOLVERS[method.solver_kind].format(method.iterations)
        return f"it takes the trained weights as stationary and solves by {solver}, damping {method.diagonal:g}"


FACTS = ImplicitFacts()
