"""Annotated animations keep every frame, every duration, and every pixel outside the rings.

An encoder and a decoder of the tests write and read the GIFs. They follow the specification and are
independent of Pillow's.
"""

import io
import itertools
import struct
import time
from typing import NamedTuple

import numpy as np
import pytest
from forking import Forked
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dirtmodel import sample
from dirtmodel.draw.annotate import Form, Notes, annotate
from dirtmodel.draw.rings import Click
from dirtmodel.errors import PictureError

GOLD = (255, 215, 0, 255)


class Part(NamedTuple):
    """One image block of a GIF to be written."""

    pixels: np.ndarray  # indices, height × width
    palette: list[tuple[int, int, int]]
    left: int = 0
    top: int = 0
    disposal: int = 1
    transparent: int | None = None
    duration: int = 100


def naive_encode(size: tuple[int, int], parts: list[Part], loop: int | None = 0) -> bytes:
    out = b"GIF89a" + struct.pack("<HHBBB", *size, 0, 0, 0)
    if loop is not None:
        out += b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0"
    for part in parts:
        flags = part.disposal << 2 | (part.transparent is not None)
        delay = part.duration // 10
        out += b"\x21\xf9\x04" + struct.pack("<BHBB", flags, delay, part.transparent or 0, 0)
        height, width = part.pixels.shape
        out += b"," + struct.pack("<HHHHB", part.left, part.top, width, height, 0x87)
        table = [*part.palette, *[(1, 2, 3)] * (256 - len(part.palette))]
        out += bytes(itertools.chain.from_iterable(table)) + b"\x08"
        bits = ""
        for place, value in enumerate(part.pixels.ravel()):
            if place % 200 == 0:  # a clear code before the codes become longer
                bits = f"{256:09b}" + bits
            bits = f"{int(value):09b}" + bits
        bits = f"{257:09b}" + bits
        coded = int(bits, 2).to_bytes((len(bits) + 7) // 8, "little")
        for start in range(0, len(coded), 255):
            block = coded[start : start + 255]
            out += bytes([len(block)]) + block
        out += b"\0"
    return out + b";"


def naive_decode(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    """Return composited RGBA frames and durations, as browsers show them."""
    width, height = struct.unpack("<HH", data[6:10])
    canvas = np.zeros((height, width, 4), np.uint8)
    common, place = colour_table(data, 13, data[10])
    frames, durations = [], []
    control = (0, 0, 0)
    while data[place] != 0x3B:
        if data[place] == 0x21:
            if data[place + 1] == 0xF9:
                control = struct.unpack("<BHB", data[place + 3 : place + 7])
            _, place = blocks(data, place + 2)
            continue
        left, top, wide, high, flags = struct.unpack("<HHHHB", data[place + 1 : place + 10])
        table, place = colour_table(data, place + 10, flags)
        table = table if len(table) else common
        coded, end = blocks(data, place + 1)
        index = np.array(unlzw(coded, data[place])).reshape(high, wide)
        if flags & 0x40:
            passes = ((0, 8), (4, 8), (2, 4), (1, 2))
            order = [row for start, step in passes for row in range(start, high, step)]
            index = index[np.argsort(order)]
        place = end
        before = canvas.copy()
        painted = np.ones_like(index, bool)
        if control[0] & 1:
            painted = index != control[2]
        area = canvas[top : top + high, left : left + wide]
        area[painted] = np.insert(table[index[painted]], 3, 255, axis=1)
        frames.append(canvas.copy())
        durations.append(control[1] * 10)
        disposal = control[0] >> 2 & 7
        if disposal == 2:
            area[:] = 0
        elif disposal == 3:
            canvas = before
        control = (0, 0, 0)
    return frames, durations


def colour_table(data: bytes, place: int, flags: int) -> tuple[np.ndarray, int]:
    n_bytes = 3 * (2 << (flags & 7)) if flags & 0x80 else 0
    table = np.frombuffer(data[place : place + n_bytes], np.uint8)
    return table.reshape(-1, 3), place + n_bytes


def blocks(data: bytes, place: int) -> tuple[bytes, int]:
    found = b""
    while size := data[place]:
        found += data[place + 1 : place + 1 + size]
        place += size + 1
    return found, place + 1


def unlzw(coded: bytes, start_size: int) -> list[int]:
    clear, stop = 1 << start_size, (1 << start_size) + 1
    bits, n_read, size = int.from_bytes(coded, "little"), 0, start_size + 1
    table: list[tuple[int, ...]] = []
    last: tuple[int, ...] | None = None
    out: list[int] = []
    while True:
        code = bits >> n_read & ((1 << size) - 1)
        n_read += size
        if code == stop:
            return out
        if code == clear:
            table = [(value,) for value in range(clear)] + [(), ()]
            size, last = start_size + 1, None
            continue
        entry = table[code] if code < len(table) else (*last, last[0])
        out += entry
        if last is not None and len(table) < 4096:
            table.append((*last, entry[0]))
            if len(table) == 1 << size and size < 12:
                size += 1
        last = entry


def pillow_decode(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(io.BytesIO(data)) as image:
        frames, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGBA")))
            durations.append(round(image.info.get("duration", 0)))
        return frames, durations


def shown(frames: list[np.ndarray], durations: list[int]) -> list[tuple[np.ndarray, int]]:
    """Join frames that a viewer cannot distinguish: equal ones that follow each other."""
    joined: list[tuple[np.ndarray, int]] = []
    for frame, duration in zip(frames, durations, strict=True):
        # The colour of transparent pixels cannot be seen.
        visible = np.where(frame[..., 3:] == 0, 0, frame)
        if joined and np.array_equal(joined[-1][0], visible):
            joined[-1] = visible, joined[-1][1] + duration
        else:
            joined.append((visible, duration))
    return joined


def distances(size: tuple[int, int], x: float, y: float) -> np.ndarray:
    columns, rows = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    return np.hypot(columns - x, rows - y)


def greys(n: int) -> list[tuple[int, int, int]]:
    return [(value, value, value) for value in range(n)]


@st.composite
def animations(draw: st.DrawFn) -> tuple[tuple[int, int], list[Part]]:
    """Draw GIFs with partial frames, local palettes, transparency and every disposal method."""
    width, height = draw(st.integers(26, 44)), draw(st.integers(26, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    parts = []
    for number in range(draw(st.integers(1, 4))):
        left, top = (0, 0) if not number else (random.integers(width), random.integers(height))
        wide = width if not number else random.integers(1, width - left + 1)
        high = height if not number else random.integers(1, height - top + 1)
        n_colours = draw(st.sampled_from([2, 5, 60, 200]))
        palette = [tuple(map(int, colour)) for colour in random.integers(0, 256, (n_colours, 3))]
        transparent = draw(st.none() | st.integers(0, n_colours - 1))
        disposal = draw(st.sampled_from([0, 1, 2, 3]))
        pixels = random.integers(0, n_colours, (high, wide))
        duration = draw(st.integers(0, 50)) * 10
        parts.append(
            Part(pixels, palette, int(left), int(top), disposal, transparent, duration),
        )
    return (width, height), parts


@settings(max_examples=120, deadline=None)
@given(
    animation=animations(),
    x=st.floats(-15, 60),
    y=st.floats(-15, 60),
    caption=st.sampled_from([[], ["MASK sub-10003", "2 reviews"]]),
    loop=st.sampled_from([None, 0, 3]),
    form=st.sampled_from([None, "APNG"]),
)
def test_outside_the_ring_every_frame_is_the_originals(
    animation: tuple[tuple[int, int], list[Part]],
    x: float,
    y: float,
    caption: list[str],
    loop: int | None,
    form: Form | None,
) -> None:
    (width, height), parts = animation
    data = naive_encode((width, height), parts, loop)
    notes = Notes([Click(x, y, "ann")], caption, legend=False)

    result = annotate(data, notes, img_id=1, form=form)

    inside = 0 < x < width and 0 < y < height
    away = distances((width, height), x, y)
    untouched = np.abs(away - 10) >= 1.5
    if not inside:
        border = (min(max(x, 0), width), min(max(y, 0), height))
        untouched &= distances((width, height), *border) > 16
    originals = shown(*naive_decode(data))
    is_gif = result.startswith(b"GIF")
    for read in (naive_decode, pillow_decode) if is_gif else (pillow_decode,):
        # Frames that differ only under the ring become equal when it is drawn.
        kept = [np.where(untouched[..., None], f, 0) for f, _ in originals]
        found = shown(*read(result))
        areas = [np.where(untouched[..., None], f[:height, :width], 0) for f, _ in found]
        expected = shown(kept, [duration for _, duration in originals])
        for (frame, duration), (original, original_duration) in zip(
            shown(areas, [duration for _, duration in found]), expected, strict=True
        ):
            np.testing.assert_array_equal(frame, original)
            is_still = len(found) == 1 and not is_gif  # a plain PNG, which has no duration
            assert duration == original_duration or is_still
        for frame, _ in found if inside else []:
            ring = frame[:height, :width][np.abs(away - 10) <= 0.49]
            assert (ring == GOLD).all()


@pytest.mark.parametrize(
    ("form", "loop", "expected"),
    [
        (None, None, None),
        (None, 0, 0),
        (None, 3, 3),
        ("APNG", None, 1),
        ("APNG", 0, 0),
        ("APNG", 3, 4),
    ],
)
def test_an_animation_plays_as_often_as_before(
    form: Form | None, loop: int | None, expected: int | None
) -> None:
    data = naive_encode((40, 40), [Part(np.full((40, 40), n), greys(2)) for n in (0, 1)], loop)

    result = annotate(data, Notes([Click(20, 20)]), img_id=1, form=form)

    with Image.open(io.BytesIO(result)) as image:
        assert image.info.get("loop") == expected


@settings(max_examples=40, deadline=None)
@given(animations())
def test_a_caption_alone_changes_no_pixel(
    animation: tuple[tuple[int, int], list[Part]],
) -> None:
    (width, height), parts = animation
    data = naive_encode((width, height), parts)

    result = annotate(data, Notes(caption=["nothing to add"]), img_id=1)

    originals = shown(*naive_decode(data))
    for (frame, duration), original in zip(shown(*pillow_decode(result)), originals, strict=True):
        np.testing.assert_array_equal(frame[:height, :width], original[0])
        assert duration == original[1]
        assert (frame[height:, ..., 3] == 255).all()
        assert (frame[height:, ..., :3].min(axis=(0, 1)) < 100).all(), "the text is dark"


def test_without_clicks_and_caption_the_bytes_are_unchanged() -> None:
    data = naive_encode((9, 9), [Part(np.zeros((9, 9)), greys(2))])
    assert annotate(data, Notes([Click(None, None)]), img_id=1) == data


def test_equal_frames_keep_their_durations() -> None:
    part = Part(np.zeros((30, 30)), greys(2), duration=200_000)
    other = Part(np.ones((30, 30)), greys(2), duration=70)
    data = naive_encode((30, 30), [part, part, other, part, part, part, part])

    _, durations = pillow_decode(annotate(data, Notes([Click(15, 15)]), img_id=1))

    # The last four have the longest duration of a GIF.
    assert durations == [400_000, 70, 655_350]


def full_palette_frame(seed: int) -> np.ndarray:
    """Return an image with 256 colours, each so often that no ring can hide it."""
    return np.random.default_rng(seed).permutation(np.arange(60 * 60) % 256).reshape(60, 60)


def test_a_gif_with_too_many_colours_becomes_an_animated_png() -> None:
    data = naive_encode((60, 60), [Part(full_palette_frame(n), greys(256)) for n in range(3)])

    result = annotate(data, Notes([Click(30, 30)]), img_id=1)

    assert result.startswith(b"\x89PNG")
    untouched = np.abs(distances((60, 60), 30, 30) - 10) >= 1.5
    frames, durations = pillow_decode(result)
    assert durations == [100] * 3
    for frame, original in zip(frames, naive_decode(data)[0], strict=True):
        np.testing.assert_array_equal(frame[untouched], original[untouched])


def test_a_gif_with_too_many_colours_is_refused_with_advice() -> None:
    data = naive_encode((60, 60), [Part(full_palette_frame(0), greys(256))])

    with pytest.raises(PictureError) as caught:
        annotate(data, Notes([Click(30, 30)]), img_id=8, form="GIF")

    assert str(caught.value) == (
        "image 8: its frames use too many colours to be drawn on as a GIF; "
        "write a .apng or a .png file instead"
    )


def test_one_free_entry_is_enough_for_a_ring() -> None:
    pixels = [full_palette_frame(seed) % 255 for seed in range(3)]
    data = naive_encode((60, 60), [Part(frame, greys(255)) for frame in pixels])

    frames, _ = naive_decode(annotate(data, Notes([Click(30, 30)]), img_id=1, form="GIF"))

    for frame, original in zip(frames, pixels, strict=True):
        away = distances((60, 60), 30, 30)
        assert (frame[np.abs(away - 10) <= 0.49] == GOLD).all()
        untouched = np.abs(away - 10) >= 1.5
        np.testing.assert_array_equal(frame[..., 0][untouched], original[untouched])


def test_every_gif_of_the_sample_release_keeps_its_pixels() -> None:
    images = sample.make_tables(subjects=1, slices=1, steps=[3, 4], hazards=False)["image"]
    gifs = images.column("img").to_pylist()
    notes = Notes([Click(150, 140, "ann"), Click(3, 20, "bob")], ["a caption"])

    results = [annotate(data, notes, img_id=1, form="GIF") for data in gifs]

    assert len({len(pillow_decode(data)[0]) for data in gifs}) == 2, "of both kinds"
    for data, result in zip(gifs, results, strict=True):
        frames, durations = pillow_decode(data)
        height, width = frames[0].shape[:2]
        untouched = np.ones((height, width), bool)
        for x, y, _ in notes.clicks:
            untouched &= np.abs(distances((width, height), x, y) - 10) >= 2.5
        drawn, drawn_durations = pillow_decode(result)
        assert drawn_durations == durations
        for before, after in zip(frames, drawn, strict=True):
            np.testing.assert_array_equal(after[:height, :width][untouched], before[untouched])


def test_37_frames_of_600_kilobytes_take_about_a_second() -> None:
    random = np.random.default_rng(5)
    frames = [
        Image.fromarray(np.kron(random.integers(0, 120, (98, 83)), np.ones((4, 4))).astype("u1"))
        for _ in range(37)
    ]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)
    assert len(buffer.getvalue()) > 500_000
    clicks = [Click(100, 100, "ann"), Click(200, 200, "bob")]

    start = time.process_time()
    result = annotate(buffer.getvalue(), Notes(clicks, ["a caption"]), img_id=1)

    assert time.process_time() - start < 2
    assert pillow_decode(result)[1] == [200] * 37


def test_a_codec_that_cannot_be_loaded_is_not_ignored() -> None:
    # As when there is too little memory.
    program = Forked(
        """
        import sys
        import PIL
        vars(PIL).pop("_webp", None)
        sys.modules["PIL._webp"] = None
        sys.modules.pop("dirtmodel.draw.encode", None)
        try:
            import dirtmodel.draw.encode
        except ImportError as error:
            print(error)
        """
    )

    assert program.finished()[1] == "import of PIL._webp halted; None in sys.modules\n"
