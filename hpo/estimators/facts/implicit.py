"""Facts of implicit differentiation at the trained weights. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import BACKWARD_UPDATE, BYTES, SECOND_ORDER, Memory
from hpo.footprint.sizes import Sizes
from windtunnel.types.method import Solver

EXAMPLES = 1024
"""Most training examples that the linear system is built from."""
SOLVERS: dict[Solver, str] = {
    "cg": "{} steps of conjugate gradients",
    "neumann": "{} terms of the Neumann series",
    "nystrom": "the Nystrom approximation of rank {}",
}


@dataclass(frozen=True)
class ImplicitFacts(EstimatorFacts):
    """A plain run, then the solution of a linear system on part of the training set."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member: the run, and the solver's products on the examples of the system."""
        spec, steps = sizes.spec, sizes.spec.method.iterations
        size = min(EXAMPLES, sizes.task.train_examples) / spec.inner.batch_size
        # Ten products for the largest eigenvalue, two for each direction of Nystrom; then residual and mixed product.
        products = {"cg": steps, "neumann": 10 + steps, "nystrom": 2 * steps}
        return spec.inner.steps + (1 + 2 * (products[spec.method.solver_kind] + 2)) * size

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak memory in bytes: for every seed the graph of a training gradient, and the solver's vectors."""
        memory, method = Memory(sizes), sizes.spec.method
        saved = BYTES * sizes.footprint.saved * min(EXAMPLES, sizes.task.train_examples)
        vectors = 3 * method.iterations if method.solver_kind == "nystrom" else 8
        solve = int(SECOND_ORDER / 2 * saved + (BACKWARD_UPDATE + vectors) * memory.parameters)
        return sizes.spec.inner.seeds * (solve + memory.slope)

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Description for a result: the assumption of stationary weights, the solver and the damping."""
        method = sizes.spec.method
        solver = SOLVERS[method.solver_kind].format(method.iterations)
        return f"it takes the trained weights as stationary and solves by {solver}, damping {method.diagonal:g}"


FACTS = ImplicitFacts()
