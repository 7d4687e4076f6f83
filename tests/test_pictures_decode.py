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
    telling_frames,
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


def test_a_png_is_one_frame_even_if_animated() -> None:
    first, second = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
    data = saved(first, "PNG", save_all=True, append_images=[second])

    (frame,) = frames(data, 1)

    assert frame.image.getpixel((0, 0)) == (255, 0, 0, 255)
    assert count_frames(open_picture(data, 1), 1) == 1


def test_chosen_frames_are_given() -> None:
    found = frames_at(gif(1, 2, 3, 4, 5), 1, [1, 3])
    assert [image.getpixel((0, 0))[0] for image in found] == [2, 4]


def test_a_later_frame_beyond_the_screen_does_not_enlarge_the_picture() -> None:
    data = gif(1, 200)
    second = data.rindex(b",", 0, -4)
    wide = data[: second + 1] + struct.pack("<HH", 3, 3) + data[second + 5 :]

    sizes = {frame.image.size for frame in frames(wide, 1)}

    assert sizes == {(8, 6)}


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 36, 37, 500])
def test_telling_frames_are_distinct_and_in_the_first_half(n_frames: int) -> None:
    chosen = telling_frames(n_frames, 3)

    assert len(set(chosen)) == min(n_frames, 3)
    assert all(0 <= number < n_frames for number in chosen)
    assert n_frames < 6 or max(chosen) < n_frames / 2


def test_sixteen_bit_greys_are_scaled_not_clipped() -> None:
    grey = np.array([[0, 256, 0x8000, 0xFFFF]], np.uint16)
    image = open_picture(saved(Image.fromarray(grey), "PNG"), 1)

    assert np.asarray(as_rgba(image))[0, :, 0].tolist() == [0, 1, 128, 255]


NOT_A_PICTURE = [
    (b"", "empty"),
    (saved(Image.new("RGB", (8, 6)), "BMP"), "neither PNG nor GIF"),
    (saved(Image.new("RGB", (8, 6)), "PNG")[:-3], r"truncated \(nothing after \d+ bytes\)"),
    (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0\1"))
        + chunk(b"IEND", b""),
        r"damaged \(image file is truncated.*\)",
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
        r"`dirtmodel check RELEASE` lists every such picture of a release$"
    )


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
