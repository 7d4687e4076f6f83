"""docs/pictures.md shows what the commands print, and states the limits."""

from pathlib import Path

import documents

from dirtmodel.draw import header

PAGE = documents.ROOT / "docs" / "pictures.md"


def test_the_page_shows_what_is_printed(demonstration: Path, tmp_path: Path) -> None:
    (tmp_path / "demo").symlink_to(demonstration)

    assert documents.run_all(PAGE, tmp_path, demonstration) == 6

    assert documents.run_python(PAGE, tmp_path) == 1
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "one.png").read_bytes()


def test_the_limits_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text("utf-8").split())

    assert (
        f"more than {header.MAX_PIXELS // 10**6} million pixels, a side of more than "
        f"{header.MAX_SIDE:,} pixels, more than {header.MAX_FRAMES:,} frames, or more than "
        f"{header.MAX_FRAME_PIXELS // 10**6} million pixels in all frames together"
    ) in text
