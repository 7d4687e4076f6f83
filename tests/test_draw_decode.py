"""Opening pictures: two formats, one kind of error, composited frames."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from dirtmodel.draw.decode import (
    as_rgba,
    count_frames,
    frames,
    frames_at,
    open_picture,
    representative_frames,
    stored_frames,
    verify,
)
from dirtmodel.errors import PictureError


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gif(*greys: int, durations: tuple[int, ...] = (50,)) -> bytes:
    first, *rest = [Image.new("L", (8, 6), grey) for grey in greys]
    wanted = list(durations) if len(durations) > 1 else durations[0]
    return saved(first, "GIF", save_all=True, append_images=rest, duration=wanted, loop=0)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_a_picture_opens_as_a_pillow_image() -> None:
    image = open_picture(memoryview(saved(Image.new("RGB", (8, 6), "red"), "PNG")), 1)
    assert (image.format, image.size, image.getpixel((3, 3))) == ("PNG", (8, 6), (255, 0, 0))


def test_frames_have_their_durations() -> None:
    found = list(frames(gif(10, 200, 90, durations=(30, 70, 500)), 1))

    assert [frame.duration for frame in found] == [30, 70, 500]
    assert [frame.image.getpixel((0, 0))[0] for frame in found] == [10, 200, 90]
    assert {frame.image.mode for frame in found} == {"RGBA"}


def test_an_animated_png_shows_its_first_frame() -> None:
    first, second = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
    data = saved(first, "PNG", save_all=True, append_images=[second])

    (frame,) = frames(data, 1)

    assert frame.image.getpixel((0, 0)) == (255, 0, 0, 255)


@pytest.mark.parametrize(("form", "n_shown"), [("PNG", 1), ("GIF", 2)])
def test_frames_are_counted_as_shown_and_as_stored(form: str, n_shown: int) -> None:
    first, second = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
    image = open_picture(saved(first, form, save_all=True, append_images=[second]), 1)

    counts = count_frames(image, 1), stored_frames(image, 1)

    assert counts == (n_shown, 2)


def test_chosen_frames_are_returned() -> None:
    found = frames_at(gif(1, 2, 3, 4, 5), 1, [1, 3])
    assert [image.getpixel((0, 0))[0] for image in found] == [2, 4]


def test_a_later_frame_beyond_the_screen_does_not_enlarge_the_picture() -> None:
    data = gif(1, 200)
    second = data.rindex(b",", 0, -4)
    wide = data[: second + 1] + struct.pack("<HH", 3, 3) + data[second + 5 :]

    sizes = {frame.image.size for frame in frames(wide, 1)}

    assert sizes == {(8, 6)}


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 36, 37, 500])
def test_representative_frames_are_distinct_and_in_the_first_half(n_frames: int) -> None:
    chosen = representative_frames(n_frames, 3)

    assert len(set(chosen)) == min(n_frames, 3)
    assert all(0 <= number < n_frames for number in chosen)
    assert n_frames < 6 or max(chosen) < n_frames / 2


def test_sixteen_bit_greys_are_scaled_not_clipped() -> None:
    grey = np.array([[0, 256, 0x8000, 0xFFFF]], np.uint16)
    image = open_picture(saved(Image.fromarray(grey), "PNG"), 1)

    assert np.asarray(as_rgba(image))[0, :, 0].tolist() == [0, 1, 128, 255]


def grey_png(bits: int, levels: list[int], transparent: int) -> bytes:
    """Write one row of greys, one of which is transparent."""
    packed = sum(level << bits * place for place, level in enumerate(reversed(levels)))
    n_bits = bits * len(levels)
    row = (packed << -n_bits % 8).to_bytes((n_bits + 7) // 8, "big")
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", transparent))
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("bits", "levels", "transparent"),
    [
        (1, [0, 1], 0),
        (1, [0, 1], 1),
        (2, [0, 1, 2, 3], 1),
        (2, [0, 1, 2, 3], 3),
        (4, [0, 5, 9, 15], 5),
        (4, [0, 5, 9, 15], 0),
        (8, [0, 5, 128, 255], 128),
        (16, [0, 5, 0x8000, 0x8001, 0xFFFF], 0x8000),
        (16, [0, 5, 0x8000, 0x8001, 0xFFFF], 5),
    ],
)
def test_the_transparent_level_of_a_grey_png_stays_transparent(
    bits: int, levels: list[int], transparent: int
) -> None:
    (frame,) = frames(grey_png(bits, levels, transparent), 1)

    shown = [frame.image.getpixel((x, 0)) for x in range(len(levels))]
    top = (1 << bits) - 1
    greys = [level >> 8 if bits == 16 else level * 255 // top for level in levels]
    assert shown == [
        (grey, grey, grey, 0 if level == transparent else 255)
        for grey, level in zip(greys, levels, strict=True)
    ]


RED, GREEN, NOTHING = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 0, 0)


def two_frames(disposal: int, transparent: int | None = None) -> bytes:
    """Write a GIF of 8 × 6 pixels: red, then a green box of 2 × 2 in its corner."""
    first, second = Image.new("P", (8, 6), 0), Image.new("P", (2, 2), 1)
    flags = disposal << 2 | (transparent is not None)
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", flags, 5, transparent or 0, 0)
    out = b"GIF89a" + struct.pack("<HHBBB", 8, 6, 0x80, 0, 0) + bytes(RED[:3] + GREEN[:3])
    for image in (first, second):
        image.putpalette(RED[:3] + GREEN[:3])
        whole = saved(image, "GIF", optimize=False, interlace=0)
        at = whole.index(b"," + struct.pack("<HHHH", 0, 0, *image.size))
        out += control + whole[at:-1]
    return out + b";"


@pytest.mark.parametrize(
    ("disposal", "expected"),
    [
        (0, [RED, RED, GREEN, RED]),
        (1, [RED, RED, GREEN, RED]),
        (2, [RED, RED, GREEN, NOTHING]),
        (3, [RED, RED, GREEN, NOTHING]),
    ],
)
def test_a_frame_that_is_disposed_of_leaves_what_browsers_leave(
    disposal: int, expected: list[tuple[int, ...]]
) -> None:
    first, second = frames(two_frames(disposal), 1)

    corner_and_rest = [f.image.getpixel(at) for f in (first, second) for at in ((0, 0), (7, 5))]
    assert corner_and_rest == expected


def test_transparent_pixels_show_the_frames_below() -> None:
    _, second = frames(two_frames(1, transparent=1), 1)

    # The green of the second frame is transparent, so all of it is still red.
    assert second.image.getcolors() == [(48, RED)]


NOT_A_PICTURE = [
    (b"", "empty"),
    (saved(Image.new("RGB", (8, 6)), "BMP"), "neither PNG nor GIF"),
    (saved(Image.new("RGB", (8, 6)), "PNG")[:-3], r"truncated \(nothing after \d+ bytes\)"),
    (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0\1"))
        + chunk(b"IEND", b""),
        r"damaged \(its pixels end early\)",
    ),
    (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0\1"))
        + chunk(b"IEND", b""),
        r"absurdly large \(60000×60000 pixels\)",
    ),
]


@pytest.mark.parametrize(("data", "message"), NOT_A_PICTURE)
def test_what_is_wrong_is_one_line_that_names_the_image(data: bytes, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PictureError) as caught:
            open_picture(data, 4711)

    assert caught.match(
        rf"^image 4711: the picture is {message}; "
        r"`dirtmodel check --decode RELEASE` lists every such picture of a release$"
    )


def png_of(raw: bytes, *more: bytes) -> bytes:
    """Write a PNG of 8×6 greys whose inflated pixels are `raw`."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *more, pixels, chunk(b"IEND", b"")])


def test_pixels_that_end_early_are_not_drawn_black() -> None:
    rows = [b"\0" + bytes([200] * 8)] * 6

    verify(memoryview(png_of(b"".join(rows))))

    for raw in (b"".join(rows)[:-1], b"".join(rows[:3]), b""):
        with pytest.raises(PictureError, match=r"^damaged \(its pixels end early\)$"):
            verify(memoryview(png_of(raw)))


def test_an_early_end_code_in_a_gif_is_noticed() -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x81, 0, 0) + bytes(12)
    # Three bits for each code: clear (4), one pixel of colour 0, end (5).
    pixels = b"\2\2" + struct.pack("<H", 4 | 0 << 3 | 5 << 6) + b"\0"
    broken = screen + b"," + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + pixels + b";"

    with pytest.raises(PictureError, match=r"^damaged \(image file is truncated"):
        verify(memoryview(broken))


def test_long_texts_do_not_damage_a_png() -> None:
    text = b"Comment\0" + b"x" * 2_000_000
    packed = b"Comment\0\0" + zlib.compress(b"x" * 100_000_000)
    profile = b"icc\0\0" + zlib.compress(bytes(100_000_000))
    chunks = [chunk(b"tEXt", text), chunk(b"zTXt", packed), chunk(b"iCCP", profile)]

    image = open_picture(png_of(b"".join([b"\0" + bytes([200] * 8)] * 6), *chunks), 1)

    assert (image.size, image.getpixel((7, 5)), image.info) == ((8, 6), 200, {})


def test_no_flipped_byte_of_a_gif_raises_anything_else() -> None:
    data = bytearray(gif(1, 99, 200))
    for place in range(len(data)):
        data[place] ^= 0xFF
        try:
            for frame in frames(bytes(data), 1):
                assert frame.image.mode == "RGBA"
        except PictureError as error:
            assert str(error).startswith("image 1: the picture is ")  # noqa: PT017 - many succeed
        data[place] ^= 0xFF
