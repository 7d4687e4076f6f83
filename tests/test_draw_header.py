"""`header.probe`: every picture of a release passes through it."""

import io
import itertools
import math
import struct
import subprocess
import sys
import zlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dirtmodel.draw.header import (
    MAX_FRAME_PIXELS,
    MAX_FRAMES,
    MAX_PIXELS,
    MAX_SIDE,
    Header,
    png_bytes_of_pixels,
    probe,
)
from dirtmodel.errors import PictureError


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(width: int, height: int, mode: str = "P", seed: int = 0) -> Image.Image:
    n = width * height
    pixels = bytes((i * 7919 + seed * 104729) * (i + 13) % 251 for i in range(n))
    return Image.frombytes("L", (width, height), pixels).convert(mode)


def png(width: int = 19, height: int = 11, mode: str = "RGBA") -> bytes:
    return encoded(noise(width, height, mode), "PNG")


def gif(width: int = 19, height: int = 11, n_frames: int = 3) -> bytes:
    first, *rest = [noise(width, height, seed=seed) for seed in range(n_frames)]
    return encoded(first, "GIF", save_all=True, append_images=rest, duration=40, loop=0)


def chunk(name: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + crc


def ihdr(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


SIGNATURE = b"\x89PNG\r\n\x1a\n"


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"]),
)
def test_a_png_is_described_as_pillow_does(width: int, height: int, mode: str) -> None:
    data = png(width, height, mode)

    header = probe(data)

    with Image.open(io.BytesIO(data)) as image:
        assert header == (image.format, *image.size)


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 70), height=st.integers(1, 70), n_frames=st.integers(1, 4))
def test_a_gif_is_described_as_pillow_does(width: int, height: int, n_frames: int) -> None:
    data = gif(width, height, n_frames)

    header = probe(data)

    with Image.open(io.BytesIO(data)) as image:
        assert header == (image.format, *image.size)


@pytest.mark.parametrize("data", [png(), gif(), gif(n_frames=1)], ids=["png", "gif", "still gif"])
def test_a_cut_anywhere_is_noticed(data: bytes) -> None:
    for length in range(1, len(data)):
        with pytest.raises(PictureError, match=rf"^truncated \(nothing after {length} bytes\)$"):
            probe(data[:length])


def test_a_flipped_bit_anywhere_in_a_png_is_noticed() -> None:
    data = bytearray(png(6, 5))
    for position in range(len(data)):
        data[position] ^= 0x10
        with pytest.raises(PictureError):
            probe(data)
        data[position] ^= 0x10


@pytest.mark.parametrize("data", [png(), gif()], ids=["png", "gif"])
def test_bytes_after_the_end_are_tolerated(data: bytes) -> None:
    assert probe(data + b"\r\ntrailing") == probe(data)


@pytest.mark.parametrize(
    "buffer",
    [bytearray, memoryview, lambda data: memoryview(data).cast("b")],
    ids=["bytearray", "memoryview", "signed memoryview"],
)
@pytest.mark.parametrize("data", [png(), gif()], ids=["png", "gif"])
def test_any_buffer_of_bytes_is_read(buffer: type[memoryview], data: bytes) -> None:
    assert probe(buffer(data)) == probe(data)


def test_an_arrow_buffer_is_read_in_place() -> None:
    scalar = pa.array([gif(200, 100)], pa.large_binary())[0]

    header = probe(memoryview(scalar.as_buffer()))

    assert header == Header("GIF", 200, 100)


def test_a_first_frame_beyond_the_screen_enlarges_it() -> None:
    data = bytearray(gif(19, 11, 1))
    data[6:10] = struct.pack("<HH", 5, 4)

    header = probe(data)

    with Image.open(io.BytesIO(data)) as image:
        assert header == ("GIF", *image.size) == ("GIF", 19, 11)


def test_a_spurious_terminator_between_blocks_is_tolerated() -> None:
    data = gif(n_frames=1)
    assert probe(data[:-1] + b"\0;") == probe(data)


@pytest.mark.parametrize(
    ("width", "height"), [(5000, MAX_PIXELS // 5000), (MAX_SIDE, 1)], ids=["pixels", "side"]
)
def test_the_largest_plausible_picture_passes_and_a_larger_one_does_not(
    width: int, height: int
) -> None:
    pixels = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    larger = (width + 1, height + 1)

    assert probe(SIGNATURE + ihdr(width, height) + pixels) == ("PNG", width, height)
    with pytest.raises(PictureError, match=r"^absurdly large \(%d×%d pixels\)$" % larger):  # noqa: UP031 - braces are for the pattern
        probe(SIGNATURE + ihdr(*larger) + pixels)


def test_pillow_never_warns_of_a_size_that_passes() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert MAX_PIXELS <= Image.MAX_IMAGE_PIXELS


def animated(width: int, height: int, n_frames: int) -> bytes:
    """Write a GIF whose frames cover one pixel of its screen, and are empty."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\1x\0"
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    return screen + n_frames * frame + b";"


@pytest.mark.parametrize(
    ("size", "n_frames"),
    [((10, 10), MAX_FRAMES), ((1000, 1000), MAX_FRAME_PIXELS // 10**6)],
    ids=["frames", "pixels of all frames"],
)
def test_the_longest_plausible_animation_passes_and_one_more_frame_does_not(
    size: tuple[int, int], n_frames: int
) -> None:
    assert probe(animated(*size, n_frames)) == ("GIF", *size)
    with pytest.raises(PictureError) as caught:
        probe(animated(*size, n_frames + 1))
    assert str(caught.value) == (
        f"absurdly large ({n_frames + 1:,} frames or more of {size[0]}×{size[1]} pixels)"
    )


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("depth", "colour", "bits"), [(1, 3, 1), (4, 0, 4), (8, 6, 32)])
def test_the_inflated_size_of_a_png_is_known(
    depth: int, colour: int, bits: int, interlace: int
) -> None:
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    passes = [*passes, (0, 1, 1, 2)] if interlace else [(0, 0, 1, 1)]
    for width, height in itertools.product(range(1, 11), repeat=2):
        rows = [
            len(range(x, width, right))
            for x, y, right, down in passes
            for _ in range(y, height, down)
        ]
        head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)

        found = png_bytes_of_pixels(memoryview(SIGNATURE + chunk(b"IHDR", head)))

        assert found == sum(1 + math.ceil(n * bits / 8) for n in rows if n)


SCREEN = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0)
IMAGE = b"," + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + b"\2"
IDAT, IEND = chunk(b"IDAT", b"x"), chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0 JFIF", "neither PNG nor GIF"),
        (b"GIF88a....", "neither PNG nor GIF"),
        (b"\\x89504e470d0a1a0a", "neither PNG nor GIF"),
        (SIGNATURE + IDAT + IEND, "damaged (a PNG that does not begin with IHDR)"),
        (SIGNATURE + ihdr(3, 3) + IEND, "damaged (a PNG without pixels)"),
        (SIGNATURE + ihdr(3, 0) + IDAT + IEND, "damaged (a size of 3×0 pixels)"),
        (SIGNATURE + ihdr(3, 3, 3) + IDAT + IEND, "damaged (a PNG of unknown kind)"),
        (SIGNATURE + ihdr(3, 3, 8, 5) + IDAT + IEND, "damaged (a PNG of unknown kind)"),
        (
            SIGNATURE + ihdr(3, 3) + b"\xff\xff\xff\xffIDAT",
            "damaged (impossible chunk length at byte 33)",
        ),
        (
            SIGNATURE + ihdr(3, 3) + IDAT[:-1] + b"!" + IEND,
            "damaged (wrong checksum of the chunk at byte 33)",
        ),
        (SCREEN + b";", "damaged (a GIF without frames)"),
        (SCREEN + b"?;", "damaged (unknown GIF block at byte 13)"),
        (SCREEN + IMAGE + b"\0;", "damaged (a GIF frame without pixels at byte 24)"),
        (
            b"GIF89a\0\0\0\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 0, 9, 0) + b"\2\1x\0;",
            "damaged (a size of 0×9 pixels)",
        ),
        (
            b"GIF89a\xff\xff\xff\xff\0\0\0" + IMAGE + b"\1x\0;",
            "absurdly large (65535×65535 pixels)",
        ),
        (
            SCREEN + IMAGE + b"\1x\0," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\1x\0;",
            "absurdly large (65535×65535 pixels)",
        ),
    ],
)
def test_the_message_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(PictureError) as caught:
        probe(data)

    assert str(caught.value) == message


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([SIGNATURE, SIGNATURE + ihdr(9, 9), SCREEN, SCREEN + IMAGE]), st.binary())
def test_garbage_never_escapes_the_family_of_errors(start: bytes, rest: bytes) -> None:
    try:
        header = probe(start + rest)
    except PictureError:
        return
    assert header.width * header.height > 0


def test_pillow_is_not_needed() -> None:
    program = "import dirtmodel.draw.header, sys; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
