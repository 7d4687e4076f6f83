"""Text on pictures: in any script, within its width."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dirtmodel.draw import text

WORDS = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(deadline=None)
@given(WORDS)
def test_printable_text_is_unchanged(words: str) -> None:
    plain = text.printable(words)

    assert text.printable(plain) == plain
    assert "\n" not in plain


@pytest.mark.parametrize(
    "words",
    [
        "José Ødegård, ≥ 2 cm – „ß“",
        "Ελληνικά, русский, українська",
        "שלום עולם",
        "مرحبا بالعالم",
        "हिन्दी में टिप्पणी, বাংলা, தமிழ்",
        "ไทย ខ្មែរ አማርኛ ქართული",
        "脑 脳の腫れ 한국어",
        "→ ✓ ✗ ½ µm °C 🧠",
    ],
)
def test_scripts_are_drawn_and_not_replaced(words: str) -> None:
    blank = Image.new("L", (600, 40), 255)
    image = blank.convert("RGB")

    text.write(image, (5, 5), [text.printable(words)], 15)

    assert text.printable(words) == words
    assert image.convert("L").histogram() != blank.histogram()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("\u2066isolated\u2069\u200b", "<U+2066>isolated<U+2069><U+200B>"),
        ("a\x07\x1b[31m", "a<U+0007><U+001B>[31m"),
        ("tab\tline\nspace\u3000", "tab line space "),
        ("cafe\u0301", "café"),
        ("\U00013000", "<U+13000>"),
        ("\ud800", "<U+D800>"),
    ],
)
def test_what_cannot_be_drawn_is_written_as_its_code_point(words: str, expected: str) -> None:
    assert text.printable(words) == expected


@settings(deadline=None)
@given(WORDS, st.integers(20, 400))
def test_wrapped_lines_fit_and_hold_every_letter(words: str, width: int) -> None:
    lines = text.wrap(words, 13, width)

    assert all(text.length(line, 13) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.printable(words).split())


@settings(deadline=None)
@given(WORDS, st.integers(1, 400))
def test_clipped_text_fits_and_ends_in_an_ellipsis(words: str, width: int) -> None:
    line = text.clip(words, 13, width)

    assert text.length(line, 13) <= width
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
