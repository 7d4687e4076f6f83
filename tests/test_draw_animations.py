"""Annotated GIFs: every frame, every duration, and not a pixel changed outside the rings.

The GIFs come from an encoder and go to a decoder written here, from the format's description and
with no thought of speed, beside Pillow's.
"""

import io
import itertools
import struct
import time
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dirtmodel.draw import decode, gif
from dirtmodel.draw.annotate import Notes, annotate
from dirtmodel.draw.header import probe
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
            if place % 200 == 0:  # a clear code before the codes would grow
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
    """Give composited RGBA frames and durations, as browsers show them."""
    width, height = struct.unpack("<HH", data[6:10])
    assert data[10] == 0, "frames have palettes of their own"
    canvas = np.zeros((height, width, 4), np.uint8)
    place, frames, durations = 13, [], []
    control = (0, 0, 0)
    while data[place] != 0x3B:
        if data[place] == 0x21:
            if data[place + 1] == 0xF9:
                control = struct.unpack("<BHB", data[place + 3 : place + 7])
            _, place = blocks(data, place + 2)
            continue
        left, top, wide, high, flags = struct.unpack("<HHHHB", data[place + 1 : place + 10])
        n_colours = 2 << (flags & 7)
        table = np.frombuffer(data[place + 10 :][: 3 * n_colours], np.uint8).reshape(-1, 3)
        place += 10 + 3 * n_colours
        coded, end = blocks(data, place + 1)
        index = np.array(unlzw(coded, data[place])).reshape(high, wide)
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
    return frames, durations


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


def pillow_frames(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(io.BytesIO(data)) as image:
        frames, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGBA")))
            durations.append(image.info.get("duration", 0))
        return frames, durations


def visible(frame: np.ndarray) -> np.ndarray:
    """Nobody can see the colour of what is transparent."""
    return np.where(frame[..., 3:] == 0, 0, frame)


def distances(size: tuple[int, int], x: float, y: float) -> np.ndarray:
    columns, rows = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    return np.hypot(columns - x, rows - y)


def greys(n: int) -> list[tuple[int, int, int]]:
    return [(value, value, value) for value in range(n)]


@st.composite
def animations(draw: st.DrawFn) -> tuple[tuple[int, int], list[Part]]:
    """GIFs with partial frames, palettes of their own, transparency and every disposal."""
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
        # Without a transparent index Pillow and browsers differ on what clearing means.
        disposal = draw(st.sampled_from([0, 1, 3] if transparent is None else [0, 1, 2, 3]))
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
)
def test_outside_the_ring_every_frame_is_the_originals(
    animation: tuple[tuple[int, int], list[Part]],
    x: float,
    y: float,
    caption: list[str],
    loop: int | None,
) -> None:
    (width, height), parts = animation
    data = naive_encode((width, height), parts, loop)
    originals, durations = pillow_frames(data)

    result = annotate(data, Notes([Click(x, y, "ann")], caption), img_id=1)

    inside = 0 < x < width and 0 < y < height
    away = distances((width, height), x, y)
    untouched = np.abs(away - 10) >= 1.5
    if not inside:
        border = (min(max(x, 0), width), min(max(y, 0), height))
        untouched &= distances((width, height), *border) > 16
    assert probe(result).format == "GIF"
    for read in (naive_decode, pillow_frames):
        frames, found = read(result)
        assert found == durations
        for frame, original in zip(frames, originals, strict=True):
            area = frame[:height, :width]
            np.testing.assert_array_equal(visible(area)[untouched], visible(original)[untouched])
            if inside:
                assert (area[np.abs(away - 10) <= 0.9] == GOLD).all()
    with Image.open(io.BytesIO(result)) as image:
        assert image.info.get("loop") == loop


@settings(max_examples=40, deadline=None)
@given(animations())
def test_a_caption_alone_changes_no_pixel(
    animation: tuple[tuple[int, int], list[Part]],
) -> None:
    (width, height), parts = animation
    data = naive_encode((width, height), parts)
    originals, durations = pillow_frames(data)

    frames, found = naive_decode(annotate(data, Notes(caption=["as it was"]), img_id=1))

    assert found == durations
    for frame, original in zip(frames, originals, strict=True):
        np.testing.assert_array_equal(visible(frame[:height, :width]), visible(original))
        assert (frame[height:, ..., 3] == 255).all()
        assert (frame[height:, ..., :3].min(axis=(0, 1)) < 100).all(), "the text is dark"


def test_without_clicks_and_caption_the_bytes_come_back() -> None:
    data = naive_encode((9, 9), [Part(np.zeros((9, 9)), greys(2))])
    assert annotate(data, Notes([Click(None, None)]), img_id=1) == data


def test_equal_frames_stay_as_many() -> None:
    part = Part(np.zeros((30, 30)), greys(2), duration=70)
    data = naive_encode((30, 30), [part] * 5)

    frames, durations = pillow_frames(annotate(data, Notes([Click(15, 15)]), img_id=1))

    assert (len(frames), durations) == (5, [70] * 5)


def full_palette_frame(seed: int) -> np.ndarray:
    """Every one of 256 colours many times, so that no ring can hide one."""
    return np.random.default_rng(seed).permutation(np.arange(60 * 60) % 256).reshape(60, 60)


def test_with_a_full_palette_the_picture_is_kept_and_the_ring_takes_the_nearest_colour() -> None:
    parts = [Part(full_palette_frame(seed), greys(256)) for seed in range(3)]
    data = naive_encode((60, 60), parts)
    originals, _ = pillow_frames(data)

    frames, _ = naive_decode(
        annotate(data, Notes([Click(30, 30, "a")], ["a caption as well"]), img_id=1)
    )

    away = distances((60, 60), 30, 30)
    for frame, original in zip(frames, originals, strict=True):
        untouched = np.abs(away - 10) >= 1.5
        np.testing.assert_array_equal(frame[:60, :60][untouched], original[untouched])
        ring = frame[:60, :60][np.abs(away - 10) <= 0.9]
        assert len(np.unique(ring, axis=0)) == 1
        assert ring[0, 0] in {205, 206}, "as bright as gold"
        assert frame[60:, :, :3].max() == 255


def test_one_free_entry_is_enough_for_an_exact_ring() -> None:
    pixels = [full_palette_frame(seed) % 255 for seed in range(3)]
    data = naive_encode((60, 60), [Part(frame, greys(255)) for frame in pixels])

    frames, _ = naive_decode(annotate(data, Notes([Click(30, 30)]), img_id=1))

    for frame, original in zip(frames, pixels, strict=True):
        away = distances((60, 60), 30, 30)
        assert (frame[np.abs(away - 10) <= 0.9] == GOLD).all()
        untouched = np.abs(away - 10) >= 1.5
        np.testing.assert_array_equal(frame[..., 0][untouched], original[untouched])


def test_hundreds_of_colours_that_add_up_over_frames_are_kept() -> None:
    halves = [
        Part(full_palette_frame(0), [(value, 0, 9) for value in range(256)]),
        Part(full_palette_frame(1)[:20], [(0, value, 99) for value in range(256)], top=10),
        Part(full_palette_frame(2)[:, :9], [(7, 7, value) for value in range(256)], left=3),
    ]
    data = naive_encode((60, 60), halves)
    originals, _ = pillow_frames(data)
    assert len(np.unique(originals[-1].reshape(-1, 4), axis=0)) > 500

    frames, _ = naive_decode(annotate(data, Notes([Click(45, 50)]), img_id=1))

    for frame, original in zip(frames, originals, strict=True):
        untouched = np.abs(distances((60, 60), 45, 50) - 10) >= 1.5
        np.testing.assert_array_equal(frame[untouched], original[untouched])


def test_a_clearing_frame_with_too_many_colours_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = Image.fromarray(full_palette_frame(0).astype(np.uint8)).convert("RGBA")
    nothing = Image.new("RGBA", full.size)
    shown = [decode.Frame(full, 50), decode.Frame(nothing, 50)]
    monkeypatch.setattr(decode, "frames", lambda *_: iter(shown))
    data = naive_encode((60, 60), [Part(np.zeros((60, 60)), greys(2))])

    with pytest.raises(PictureError) as caught:
        annotate(data, Notes([Click(-99, 3)]), img_id=8)

    assert str(caught.value) == (
        "image 8: its frames use too many colours to be drawn on as a GIF; "
        "write a .png file instead"
    )


def test_many_inks_give_way_by_importance() -> None:
    codes = np.arange(257, dtype=np.int32).reshape(1, -1) + gif.INK
    inks = [gif.pack_colour((number % 256, number // 256, 50)) for number in range(257)]

    (frame,), _ = naive_decode(gif.encode([(codes, 10)], loop=None, inks=inks))

    assert frame[0, :256, 0].tolist() == list(range(256))
    assert frame[0, 256].tolist() == [0, 0, 50, 255]


def test_37_frames_of_600_kilobytes_take_well_under_a_second() -> None:
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

    assert time.process_time() - start < 1
    assert pillow_frames(result)[1] == [200] * 37
