"""Text on pictures: ASCII letters that the font has, within their width."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dirtmodel.draw import text

WORDS = st.text(st.characters(codec="utf-8"), max_size=60)


@given(WORDS)
def test_only_letters_of_the_font_are_left(words: str) -> None:
    plain = text.printable(words)
    assert all(" " <= letter <= "~" for letter in plain)


@given(WORDS, st.integers(20, 400))
def test_wrapped_lines_fit_and_hold_every_letter(words: str, width: int) -> None:
    lines = text.wrap(words, 13, width)

    assert all(text.font(13).getlength(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.printable(words).split())


@given(WORDS, st.integers(1, 400))
def test_clipped_text_fits_and_says_that_it_is_clipped(words: str, width: int) -> None:
    line = text.clip(words, 13, width)

    assert text.font(13).getlength(line) <= width
    assert line == text.printable(words) or line.endswith("...") or not line


def test_words_stay_whole_where_they_fit() -> None:
    assert text.wrap("sub-10003 ses-V1 T1w", 13, 80) == ["sub-10003", "ses-V1 T1w"]


def test_writing_returns_the_place_below() -> None:
    image = Image.new("RGB", (200, 100), text.PAPER)

    below = text.write(image, (5, 5), ["jg|", "jg|"], 13)

    dark = (np.asarray(image) != 255).any(axis=(1, 2))
    assert below == 5 + 2 * text.line_height(13)
    assert dark[5:below].any()
    assert not dark[below:].any()
