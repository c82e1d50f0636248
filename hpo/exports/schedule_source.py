"""Writes a plan's schedule as source: ``multiplier(step)``, the source of its formula, and the operations in it.

No torch or JAX here.
"""

import ast
import inspect
from collections.abc import Iterator
from copy import deepcopy

from windtunnel.schedules import formulas
from windtunnel.schedules.operations import Floats
from windtunnel.types.plans import TransferPlan

_JAX = '''class Arrays:
    """The operations of a schedule's formula on traced arrays."""
    where = jnp.where
    clip = jnp.clip
    cos = jnp.cos
    sqrt = jnp.sqrt
    exp = jnp.exp
    log1p = jnp.log1p
    ceil = jnp.ceil

    def exact(value):
        return value

    def logs(values):
        return jnp.log(jnp.asarray(values))

    def interpolated(share, values):
        return jnp.interp(share, jnp.linspace(0, 1, len(values)), values)
'''


def float_schedule(plan: TransferPlan) -> str:
    """Source of ``multiplier(step)`` on plain numbers; it needs ``math``."""
    time = "float(step + 1)" if plan.schedule.counts_tokens else "float(min(step + 1, STEPS))"
    return _source(plan, inspect.getsource(Floats), time, "")


def jax_schedule(plan: TransferPlan) -> str:
    """Source of ``multiplier(step)`` for a step that JAX may trace; it needs ``math`` and ``jnp``."""
    time = "step + 1" if plan.schedule.counts_tokens else "jnp.minimum(step + 1, STEPS)"
    return _source(plan, _JAX, f"jnp.asarray({time}, dtype=float)", "; it may be traced")


def _source(plan: TransferPlan, operations: str, time: str, traced: str) -> str:
    """Source of the operations, of the formula, and of ``multiplier``, which calls it with the plan's own settings."""
    name = formulas.FORMULAS[plan.schedule.name].__name__
    functions = list({part.name: part for part in _used(name)}.values())
    (given,) = ast.parse(operations).body
    assert isinstance(given, ast.ClassDef)
    _keep(given, {node.attr for part in functions for node in ast.walk(part) if isinstance(node, ast.Attribute)})
    settings = plan.schedule.arguments(plan.steps, plan.tokens_per_step)
    arguments = [given.name, time, "STEPS", *(f"{key}={value!r}" for key, value in settings.items())]
    lines = [
        "def multiplier(step):",
        f'    """Learning-rate multiplier of a step, counted from 0{traced}."""',
        f"    return {name}(",
        *(f"        {argument}," for argument in arguments),
        "    )",
    ]
    return "\n\n\n".join([*(ast.unparse(_Plain().visit(deepcopy(part))) for part in (given, *functions)), "\n".join(lines)])


_FUNCTIONS = {node.name: node for node in ast.parse(inspect.getsource(formulas)).body if isinstance(node, ast.FunctionDef)}


def _used(name: str) -> Iterator[ast.FunctionDef]:
    """Yields the functions that a formula calls, each after the functions that it calls, and the formula last."""
    inside = ast.walk(_FUNCTIONS[name])
    called = {node.func.id: None for node in inside if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    for part in called:
        if part in _FUNCTIONS:
            yield from _used(part)
    yield _FUNCTIONS[name]


def _keep(operations: ast.ClassDef, names: set[str]) -> None:
    """Removes from the class the operations that are not among ``names``."""
    kept = [
        node
        for node in operations.body
        if (isinstance(node, ast.FunctionDef) and node.name in names)
        or (isinstance(node, ast.Assign | ast.AnnAssign) and names & {each.id for each in _targets(node)})
    ]
    operations.body = [operations.body[0], *kept]  # the docstring stays


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.Name]:
    """Names to which a statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target for target in targets if isinstance(target, ast.Name)]


class _Plain(ast.NodeTransformer):
    """Removes annotations, whose types an exported file lacks, and all paragraphs of a docstring after the first."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        said = ast.get_docstring(node)
        if said is not None:
            node.body[0] = ast.Expr(ast.Constant(said.partition("\n\n")[0].replace("\n", "\n    ")))
        self.generic_visit(node)
        return ast.fix_missing_locations(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        return node if node.value is None else ast.fix_missing_locations(ast.Assign([node.target], node.value, lineno=0))
