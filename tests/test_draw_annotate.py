"""Rings, captions and legends on PNGs and on stills of GIFs, decoded independently."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dirtmodel.draw import colours, legend, rings, text
from dirtmodel.draw.annotate import Notes, annotate, annotated, grid
from dirtmodel.draw.legend import Entry
from dirtmodel.draw.rings import Click
from dirtmodel.errors import PictureError, UsageError

GOLD = (255, 215, 0)
WIDTH, HEIGHT = 64, 48
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "P with transparency", "I;16"]


def picture(mode: str = "RGBA", seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 2**16, (HEIGHT, WIDTH), np.uint16))
    pixels = random.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    if mode == "P with transparency":
        image = Image.fromarray(pixels[..., 0] % 7, "L").convert("P")
        image.info["transparency"] = 3
        return image
    image = Image.fromarray(pixels)
    return image.convert("RGB").quantize(50) if mode == "P" else image.convert(mode)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def gif(n_frames: int) -> bytes:
    first, *rest = [picture("P", seed) for seed in range(n_frames)]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=100, loop=0)
    return buffer.getvalue()


def rgba(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I"):
            grey = (np.asarray(image) // 256).astype(np.uint8)
            return np.asarray(Image.fromarray(grey).convert("RGBA"))
        return np.asarray(image.convert("RGBA"))


def distances(x: float, y: float) -> np.ndarray:
    columns, rows = np.arange(WIDTH) + 0.5, np.arange(HEIGHT)[:, None] + 0.5
    return np.hypot(columns - x, rows - y)


@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    clicks=st.lists(
        st.tuples(
            st.floats(0, WIDTH, exclude_min=True, exclude_max=True),
            st.floats(0, HEIGHT, exclude_min=True, exclude_max=True),
            st.sampled_from(["ann", "bob", None]),
        ),
        min_size=1,
        max_size=4,
    ),
    caption=st.sampled_from([(), ("MASK sub-10003 ses-V1",)]),
)
def test_rings_are_where_the_clicks_are_and_nowhere_else(
    mode: str, clicks: list[tuple[float, float, str | None]], caption: tuple[str, ...]
) -> None:
    data = png(picture(mode))
    notes = Notes([Click(*click) for click in clicks], caption)

    result = rgba(annotate(data, notes, img_id=1))[:HEIGHT, :WIDTH]

    one_rater = len({rater for _, _, rater in clicks}) == 1
    reach = 1.5 if one_rater else 2.5  # with several raters, rings have a dark edge
    untouched = np.ones((HEIGHT, WIDTH), bool)
    for x, y, _ in clicks:
        untouched &= np.abs(distances(x, y) - 10) >= reach
    np.testing.assert_array_equal(result[untouched], rgba(data)[untouched])
    x, y, rater = clicks[-1]  # nothing is drawn over the last one
    ring = result[np.abs(distances(x, y) - 10) <= 0.49]
    raters = sorted({r for _, _, r in clicks}, key=str)
    expected = GOLD if one_rater else colours.pens(raters)[rater].colour
    assert (ring == (*expected, 255)).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_without_clicks_keeps_its_pixels_under_a_caption(mode: str) -> None:
    data = png(picture(mode))

    result = rgba(annotate(data, Notes(caption=["nothing wrong"]), img_id=1))

    np.testing.assert_array_equal(result[:HEIGHT, :WIDTH], rgba(data))
    assert result.shape[0] > HEIGHT


@pytest.mark.parametrize("data", [png(picture()), gif(3)], ids=["png", "gif"])
def test_without_anything_to_add_the_bytes_are_unchanged(data: bytes) -> None:
    nothing_wrong = Click(None, None, "ann")
    assert annotate(memoryview(data), Notes([nothing_wrong]), img_id=1) == data


def test_the_ring_covers_what_dirts_canvas_would() -> None:
    data = png(Image.new("RGB", (WIDTH, HEIGHT)))

    result = rgba(annotate(data, Notes([Click(30, 24)]), img_id=1))

    painted = result[..., :3].astype(float).sum() / sum(GOLD)
    assert painted == pytest.approx(2 * np.pi * 10 * 2, rel=0.01)


@settings(max_examples=200, deadline=None)
@given(
    x=st.floats(allow_nan=False, allow_infinity=False),
    y=st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_click_anywhere_leaves_a_mark_in_the_picture(x: float, y: float) -> None:
    data = png(Image.new("RGB", (WIDTH, HEIGHT)))

    result = rgba(annotate(data, Notes([Click(x, y)], legend=False), img_id=1))

    assert result.shape == (HEIGHT, WIDTH, 4)
    assert (result[..., :3] == GOLD).all(axis=-1).sum() >= 12


@pytest.mark.parametrize(
    ("x", "y", "border"),
    [
        (-0.28, 20, (0, 20)),
        (0, 20, (0, 20)),
        (WIDTH, 20, (WIDTH, 20)),
        (30, HEIGHT + 0.2, (30, HEIGHT)),
        (30, -1e300, (30, 0)),
        (900, 900, (WIDTH, HEIGHT)),
    ],
)
def test_a_click_at_or_beyond_the_edge_gets_an_arrow_there(
    x: float, y: float, border: tuple[float, float]
) -> None:
    data = png(Image.new("RGB", (WIDTH, HEIGHT)))

    result = rgba(annotate(data, Notes([Click(x, y)], legend=False), img_id=1))

    filled = (result[..., :3] == GOLD).all(axis=-1)
    near = distances(*border) < 7
    assert filled[near].sum() > 10, "filled where a ring is hollow"
    assert not filled[(distances(*border) > 16) & (np.abs(distances(x, y) - 10) > 1.5)].any()


def test_a_click_inside_gets_no_arrow() -> None:
    data = png(Image.new("RGB", (WIDTH, HEIGHT)))

    result = rgba(annotate(data, Notes([Click(0.01, 20)]), img_id=1))

    assert not result[..., :3][distances(0.01, 20) < 8].any()


def test_incomplete_positions_are_counted_not_drawn() -> None:
    data = png(picture("RGB"))
    clicks = [Click(3, None), Click(float("inf"), 3), Click(float("nan"), 3), Click(None, None)]
    notes = Notes(clicks, ["caption"])

    result = rgba(annotate(data, notes, img_id=1))

    np.testing.assert_array_equal(result[:HEIGHT, :WIDTH], rgba(data))
    assert notes.lines() == ["caption", "3 clicks without a complete position, not drawn"]
    assert Notes(clicks[:1], ["caption"]).lines()[1].startswith("1 click without")
    assert Notes([Click(1e308, 1e308)]).points(), "finite although the sum is not"


def test_several_raters_are_named_with_their_clicks() -> None:
    clicks = [Click(9, 9, "bob"), Click(30, 9, None), Click(9, 30, "ann"), Click(9, 20, "bob")]

    entries = Notes(clicks).entries((WIDTH, HEIGHT))

    assert entries == [
        Entry("ann (1)", colours.Pen(colours.OKABE_ITO[0], 0, halo=True)),
        Entry("bob (2)", colours.Pen(colours.OKABE_ITO[1], 0, halo=True)),
        Entry("unknown rater (1)", colours.Pen(colours.UNKNOWN, 0, halo=True)),
    ]


def test_one_of_a_databases_raters_is_named_in_their_own_colour() -> None:
    pens = colours.pens(["cat", "ann", "bob"])

    entries = Notes([Click(9, 9, "bob")], pens=pens).entries((WIDTH, HEIGHT))

    assert entries == [Entry("bob (1)", colours.Pen(colours.OKABE_ITO[2], 0, halo=True))]


@pytest.mark.parametrize(
    ("clicks", "labels"),
    [
        ([Click(-0.28, 20)], ["1 click at or beyond the edge"]),
        ([Click(-3, 20), Click(WIDTH, 5), Click(9, 9)], ["2 clicks at or beyond the edge"]),
        ([Click(9, 9)], []),
    ],
)
def test_the_legend_explains_triangles(clicks: list[Click], labels: list[str]) -> None:
    entries = Notes(clicks).entries((WIDTH, HEIGHT))

    assert [entry.label for entry in entries] == labels


def test_the_legend_shows_every_pen() -> None:
    clicks = [Click(9, 9, f"rater {number}") for number in range(7)]
    data = png(Image.new("RGB", (640, 20)))

    below = rgba(annotate(data, Notes(clicks), img_id=1))[20:]

    for colour in colours.OKABE_ITO:
        assert (below[..., :3] == colour).all(axis=-1).sum() > 20


@pytest.mark.parametrize(
    "notes",
    [
        Notes([Click(9, 9, "ann")]),
        Notes([Click(9, 9, "ann"), Click(9, 9, "bob")], legend=False),
    ],
    ids=["one rater", "switched off"],
)
def test_there_is_no_margin_without_caption_or_legend(notes: Notes) -> None:
    assert annotated(png(picture()), notes, img_id=1).size == (WIDTH, HEIGHT)


def test_pens_stay_the_same_over_the_pictures_of_a_sheet() -> None:
    pens = colours.pens(["ann", "bob"])
    notes = Notes([Click(30, 24, "bob")], pens=pens)

    result = rgba(annotate(png(Image.new("RGB", (WIDTH, HEIGHT))), notes, img_id=1))

    assert (result[..., :3] == pens["bob"].colour).all(axis=-1).any()


def test_after_seven_raters_rings_have_gaps() -> None:
    pens = colours.pens(f"rater {number:02}" for number in range(15))

    assert len(set(pens.values())) == 15
    whole, gapped, more = [painted(pens[f"rater {n:02}"]) for n in (0, 7, 14)]
    assert gapped == pytest.approx(whole * 0.65, rel=0.1)
    assert more == pytest.approx(whole * 0.65, rel=0.1)


def painted(pen: colours.Pen) -> float:
    """Return the number of pixels that a ring covers."""
    image = Image.new("RGBA", (WIDTH, HEIGHT))
    rings.draw(image, [rings.Point(30, 24, None)], {None: pen._replace(halo=False)})
    return np.asarray(image)[..., 3].sum() / 255


def test_raters_keep_their_pens_when_others_follow() -> None:
    before = colours.pens(["bob", None, "ann"])

    after = colours.pens(["bob", None, "ann", "cat", None])

    assert {rater: after[rater] for rater in before} == before


def test_an_animated_png_shows_its_first_frame_and_how_many_there_are() -> None:
    buffer = io.BytesIO()
    picture(seed=1).save(buffer, "PNG", save_all=True, append_images=[picture(seed=2)])
    plain = annotated(png(picture(seed=1)), Notes(), img_id=1)

    result = annotated(buffer.getvalue(), Notes(), img_id=1)

    area = np.asarray(result.convert("RGBA"))[:HEIGHT, :WIDTH]
    np.testing.assert_array_equal(area, np.asarray(plain.convert("RGBA")))
    assert result.height > HEIGHT, "frame 1 of 2"


@pytest.mark.parametrize("n_frames", [2, 3, 37])
def test_a_gif_as_png_shows_its_frames_beside_each_other(n_frames: int) -> None:
    data = gif(n_frames)

    result = rgba(annotate(data, Notes([Click(30, 24)], ["caption"]), img_id=1, form="PNG"))

    untouched = np.abs(distances(30, 24) - 10) >= 1.5
    corners = grid(n_frames, (WIDTH, HEIGHT))
    assert len(set(corners)) == n_frames
    with Image.open(io.BytesIO(data)) as image:
        for number, (x, y) in enumerate(corners):
            image.seek(number)
            cell = result[y : y + HEIGHT, x : x + WIDTH]
            original = np.asarray(image.convert("RGBA"))
            np.testing.assert_array_equal(cell[untouched], original[untouched])
            assert (cell[np.abs(distances(30, 24) - 10) <= 0.49][:, :3] == GOLD).all()


def test_few_frames_stand_in_a_row_and_many_fill_a_screen() -> None:
    two, many = grid(2, (640, 480)), grid(37, (332, 389))

    assert {y for _, y in two} == {0}
    assert (len({x for x, _ in many}), len({y for _, y in many})) == (8, 5)


def test_long_captions_and_names_never_overflow() -> None:
    name = "r" * 300
    clicks = [Click(5, 5, name), Click(9, 9, "José Ødegård")]
    notes = Notes(clicks, ["word " * 60, "x" * 400])

    strip = legend.draw(notes.lines(), notes.entries((WIDTH, HEIGHT)), 320)

    assert strip is not None
    pixels = np.asarray(strip)
    assert strip.width == 320
    assert (pixels[:, -3:] == text.PAPER).all()
    assert (pixels[-3:] == text.PAPER).all()
    assert (pixels[:, :3] == text.PAPER).all()


def test_a_tiny_picture_gets_room_for_its_caption() -> None:
    result = rgba(annotate(png(picture().crop((0, 0, 3, 2))), Notes(caption=["hello"]), img_id=1))

    assert result.shape[1] == 300
    np.testing.assert_array_equal(result[:2, :3], rgba(png(picture()))[:2, :3])


def test_a_png_cannot_become_a_gif() -> None:
    with pytest.raises(UsageError) as caught:
        annotate(png(picture()), Notes(), img_id=15820, form="GIF")
    assert str(caught.value) == ("image 15820 is a PNG and cannot become a GIF; write a .png file")


def test_a_damaged_picture_is_named() -> None:
    with pytest.raises(PictureError, match=r"^image 7: the picture is truncated"):
        annotate(png(picture())[:-20], Notes(), img_id=7)
