"""Maps the names of a model's tensors to a plan's names: ``h.{i}.fc.weight`` -> ``blocks.{i}.mlp_in.weight``."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

PLACEHOLDER = re.compile(r"\{(\w+)\}")
SHOWN = 8


class NameMap:
    """Map from patterns of a model's names to the plan's names. ``{i}`` stands for one part of a name, between dots.

    Raises:
        ValueError: a plan's name has a placeholder that its pattern lacks.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.rules = {pattern: (_compiled(pattern), target) for pattern, target in names.items()}
        for pattern, target in names.items():
            foreign = sorted(set(PLACEHOLDER.findall(target)) - set(PLACEHOLDER.findall(pattern)))
            if foreign:
                raise ValueError(f"names: {target!r} has {{{foreign[0]}}}, which {pattern!r} lacks")

    def rename(self, given: Sequence[str], planned: AbstractSet[str]) -> dict[str, str]:
        """Name in the model -> name in the plan; a name that no pattern matches stays.

        Args:
            given: all names of the model.
            planned: all names of the plan.

        Raises:
            ValueError: a pattern matches no tensor, gives a name that the plan lacks, or two tensors get one name.
        """
        found: dict[str, str] = {}
        used: set[str] = set()
        for name in given:
            fitting = [
                (pattern, target, match) for pattern, (rule, target) in self.rules.items() if (match := rule.match(name))
            ]
            if len(fitting) > 1:
                patterns = " and ".join(repr(pattern) for pattern, _, _ in fitting)
                raise ValueError(f"names: {patterns} both fit {name}; let one pattern fit each tensor")
            found[name] = name
            for pattern, target, match in fitting:
                used.add(pattern)
                found[name] = PLACEHOLDER.sub(lambda part, match=match: match[part[1]], target)  # type: ignore[misc]
                if found[name] not in planned:
                    raise ValueError(
                        f"names: {pattern!r} makes {name} the plan's {found[name]}, which it does not have; "
                        f"its tensors: {_some(sorted(planned))}"
                    )
        for pattern in self.rules:
            if pattern not in used:
                raise ValueError(f"names: {pattern!r} fits no tensor of the model; its tensors: {_some(given)}")
        _refuse_collisions(found)
        return found


def _compiled(pattern: str) -> re.Pattern[str]:
    """Regular expression of a pattern; a repeated placeholder stands for the same text."""
    text, seen, end = "", set[str](), 0
    for place in PLACEHOLDER.finditer(pattern):
        name = place[1]
        text += re.escape(pattern[end : place.start()])
        text += f"(?P={name})" if name in seen else f"(?P<{name}>[^.]+)"
        seen.add(name)
        end = place.end()
    return re.compile(text + re.escape(pattern[end:]) + r"\Z")


def _refuse_collisions(found: Mapping[str, str]) -> None:
    by_target: dict[str, str] = {}
    for name, target in found.items():
        if target in by_target:
            raise ValueError(
                f"names: {by_target[target]} and {name} are both {target}; each tensor of the plan is one tensor"
            )
        by_target[target] = name


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
