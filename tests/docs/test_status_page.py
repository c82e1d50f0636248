"""The tour of the status page shows every picture that one command takes, and no other."""

import re
from pathlib import Path

from benchmarks.screenshots import IMAGES, SHOTS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "status-page.md"


def test_the_tour_shows_every_picture_that_is_taken():
    shown = re.findall(r"!\[.+\]\(\.\./images/(.+)\.png\)", PAGE.read_text())
    assert sorted(shown) == sorted({shot.name for shot in SHOTS})
    for shot in SHOTS:
        picture = (IMAGES / f"{shot.name}.png").read_bytes()
        assert int.from_bytes(picture[16:20]) == shot.width and int.from_bytes(picture[20:24]) == shot.height
