"""Seed paths: no two purposes share a number, and a purpose by name is the same path as by number."""

import pytest

from hpo.seeding import Purpose, Stream, number_of

PURPOSES = {
    "SCOUT": 0,
    "MOVE": 1,
    "FINISH": 2,
    "PANEL": 3,
    "SAMPLER": 4,
    "RESPONSE": 5,
    "QUALITY": 11,
    "CERTIFICATE": 90,
    "COORDINATES": 7_301,
    "LADDER": 8_117,
    "HORIZON": 8_219,
    "NOISE_SCALE": 8_221,
    "SCALING": 8_233,
}
STREAMS = {"MEASUREMENT": 1, "NOISE": 7, "RESPONSE": 8, "PERTURBATION": 9, "VALIDATION_PERTURBATION": 10, "ANTITHETIC": 11}


@pytest.mark.parametrize(("kind", "known"), [(Purpose, PURPOSES), (Stream, STREAMS)])
def test_numbers_are_unique_and_never_change(kind: type[Purpose] | type[Stream], known: dict[str, int]) -> None:
    # Jobs that were run before are the same jobs only under the same numbers.
    found = {name: member.value for name, member in kind.__members__.items()}
    assert found == known and len(set(found.values())) == len(found)


def test_a_path_by_name_is_the_path_by_number() -> None:
    assert number_of((3, Purpose.LADDER, 0, 1)) == number_of((3, 8_117, 0, 1))
    assert number_of((5, Stream.NOISE)) == number_of((5, 7)) != number_of((57,))
