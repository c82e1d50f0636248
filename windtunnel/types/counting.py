"""How far an outer loop is, in words."""


def out_of(step: int, steps: int | None, link: str = "/") -> str:
    """``3/12``; ``3`` alone where a budget, not a number of steps, ends the search."""
    return str(step) if steps is None else f"{step}{link}{steps}"
