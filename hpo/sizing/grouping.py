"""How much of a population to compute at once on a CPU. Imports no torch."""


def groups(members: int, together: int | None) -> list[slice]:
    """Rows of a population, so many at a time; all of them at once for None."""
    size = members if together is None else together
    return [slice(start, min(start + size, members)) for start in range(0, members, size)]
