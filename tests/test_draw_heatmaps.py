"""Heat maps: where the clicks are, how many, over the mean of the pictures."""

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from dirtmodel.draw import heatmaps, text
from dirtmodel.draw.heatmaps import Density, HeatMap, Sample, add_up, draw
from dirtmodel.draw.rings import Click
from dirtmodel.errors import UsageError

AREA = np.pi * 100


def density(samples: list[Sample], **options: float) -> Density:
    """Add up samples of a single slice."""
    (panel,) = add_up(samples, **options).panels.values()
    return panel


def png(grey: int = 0, size: tuple[int, int] = (80, 60), mode: str = "RGBA") -> bytes:
    colour = (grey, grey, grey, 255) if mode == "RGBA" else grey
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@settings(max_examples=40, deadline=None)
@given(
    clicks=st.lists(st.tuples(st.floats(-9, 99), st.floats(-9, 99)), min_size=1, max_size=5),
    sigma=st.floats(1, 20),
)
def test_no_click_is_lost(clicks: list[tuple[float, float]], sigma: float) -> None:
    found = density([Sample(1, png(), [Click(x, y) for x, y in clicks])], sigma=sigma)

    assert found.n_clicks == len(clicks)
    assert found.clicks.sum() / AREA == pytest.approx(len(clicks))


def test_the_density_is_a_gaussian_around_the_click() -> None:
    found = density([Sample(1, png(size=(200, 200)), [Click(100.5, 80.5)])], sigma=8)

    rows, columns = np.mgrid[:200, :200]
    gauss = np.exp(-((columns - 100) ** 2 + (rows - 80) ** 2) / 128) / (2 * np.pi * 64)
    np.testing.assert_allclose(found.clicks, gauss * AREA, atol=2e-3)


def test_the_picture_below_is_the_mean() -> None:
    found = density([Sample(1, png(10)), Sample(2, png(20)), Sample(3, png(90, mode="L"))])

    np.testing.assert_allclose(found.mean, 40)
    assert (found.n_pictures, found.n_reviews, found.n_clicks, found.n_scaled) == (3, 3, 0, 0)


def test_other_sizes_are_scaled_to_the_majority_with_their_clicks() -> None:
    samples = [
        Sample(1, png(200, size=(160, 120)), [Click(120, 30)]),
        Sample(2, png(50)),
        Sample(3, png(50)),
    ]

    found = density(samples, sigma=1)

    assert found.mean.shape == (60, 80)
    np.testing.assert_allclose(found.mean, 100, atol=1e-3)
    assert np.unravel_index(found.clicks.argmax(), found.clicks.shape) == (15, 60)
    assert found.n_scaled == 1


def test_many_sizes_are_folded_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heatmaps, "_MAX_SIZES", 2)
    sizes = [(80, 60), (80, 60), (40, 30), (20, 15), (160, 120)]
    samples = [
        Sample(number, png(100, size), [Click(size[0] / 2, size[1] / 4)])
        for number, size in enumerate(sizes)
    ]

    found = density(samples, sigma=1)

    assert (found.n_pictures, found.n_scaled, found.n_clicks) == (5, 3, 5)
    np.testing.assert_allclose(found.mean, 100, atol=1e-3)
    assert np.unravel_index(found.clicks.argmax(), found.clicks.shape) == (15, 40)


def test_edges_incomplete_positions_and_damage_are_counted() -> None:
    clicks = [
        Click(-0.28, 9),
        Click(80, 60),
        Click(5, 5),
        Click(3, None),
        Click(np.inf, 3),
        Click(None, None),
    ]
    samples = [Sample(1, png(), clicks, n_reviews=4), Sample(2, png()[:-5], clicks, n_reviews=9)]

    found = add_up(samples)

    numbers = [found.total(name) for name in ("n_clicks", "n_at_edge", "n_incomplete")]
    assert numbers == [3, 2, 2]
    assert [found.total(name) for name in ("n_reviews", "n_pictures")] == [4, 1]
    assert found.damaged == (2,)


def test_every_slice_has_a_panel_in_order() -> None:
    slices = [5, None, 0, 5, 11]
    samples = [Sample(n, png(n), [Click(9, 9)], slice=number) for n, number in enumerate(slices)]

    found = add_up(samples)

    assert list(found.panels) == [None, 0, 5, 11]
    assert [panel.n_clicks for panel in found.panels.values()] == [1, 1, 2, 1]


def test_too_many_slices_are_refused() -> None:
    samples = (Sample(number, png(), slice=number) for number in range(1000))

    with pytest.raises(UsageError, match=r"^there are more than 48 slices.* choose one with"):
        add_up(samples)


def labelled(*places: int, grey: int = 90) -> bytes:
    """Write a picture with a white label in its lower left corner, at these columns."""
    image = Image.new("L", (200, 100), 0)
    image.paste(grey, (60, 20, 140, 80))
    for place in places:
        image.paste(255, (place, 94, place + 3, 99))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_labels_that_differ_are_left_out_rather_than_smeared() -> None:
    found = density([Sample(1, labelled(5, 10)), Sample(2, labelled(5, 14))])

    assert not found.mean[90:, :50].any()
    assert (found.mean[20:80, 60:140] == 90).all()


def test_a_label_that_all_pictures_share_is_kept() -> None:
    found = density([Sample(1, labelled(5, 10)), Sample(2, labelled(5, 10, grey=30))])

    assert (found.mean[94:99, 5:8] == 255).all()


def test_transparent_pixels_are_black_and_animations_give_one_frame() -> None:
    first, *rest = [Image.new("L", (80, 60), grey) for grey in (10, 20, 30, 40, 50, 60, 70, 80)]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=50)
    clear = io.BytesIO()
    Image.new("RGBA", (80, 60), (255, 255, 255, 0)).save(clear, "PNG")

    animated = density([Sample(1, buffer.getvalue())])
    transparent = density([Sample(1, clear.getvalue())])

    np.testing.assert_allclose(animated.mean, 30)
    np.testing.assert_allclose(transparent.mean, 0)


@pytest.mark.parametrize("sigma", [0, -1, float("nan"), float("inf")])
def test_a_sigma_that_makes_no_sense_is_refused(sigma: float) -> None:
    with pytest.raises(UsageError, match=r"^sigma must be a positive number of pixels, not"):
        add_up([Sample(1, png())], sigma=sigma)


def test_nothing_to_draw_is_reported() -> None:
    with pytest.raises(UsageError) as none:
        add_up([])
    with pytest.raises(UsageError) as damaged:
        add_up([Sample(number, b"") for number in range(7)])

    assert str(none.value) == "no picture matches, so there is no heat map; try fewer conditions"
    assert str(damaged.value) == (
        "none of the 7 pictures of this heat map can be decoded (the first is image 0); "
        "`dirtmodel check --decode RELEASE` says why"
    )


def test_the_map_is_hottest_where_the_clicks_are() -> None:
    found = add_up([Sample(1, png(80, (300, 200)), [Click(75, 50)] * 3)])

    drawn = np.asarray(draw(found, title="MASK display X slice 3")).astype(int)

    # The darkened mean picture surrounds the map; the colour bar is to its right.
    heat = np.abs(drawn[..., 0] - drawn[..., 2])
    columns = np.flatnonzero((drawn == 60).all(axis=-1).sum(axis=0) > 100)
    rows = np.flatnonzero((drawn == 60).all(axis=-1).sum(axis=1) > 100)
    picture = heat[rows[0] : rows[-1], columns[0] : columns[-1]]
    middle = [place.mean() for place in np.nonzero(picture > 20)]
    assert middle == pytest.approx([picture.shape[0] / 4, picture.shape[1] / 4], rel=0.05)


def test_title_and_numbers_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(text, "write", lambda _i, _p, lines, *_: written.extend(lines) or 20)
    plane = np.zeros((60, 80))
    panel = Density(plane, plane + 1, 1234, 5678, 1, 2, 1, 3)

    draw(HeatMap({3: panel}, (7, 8)), title="All raters")

    assert written == [
        "All raters",
        "1 click in 5,678 reviews of 1,234 pictures",
        "1 click at or beyond the edge, moved to the border",
        "2 pictures of another size, scaled",
        "3 clicks without a complete position, left out",
        "2 damaged pictures left out",
    ]


def test_panels_and_axes_say_what_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    real = Figure.subplots
    monkeypatch.setattr(
        Figure, "subplots", lambda self, *a, **k: figures.append(self) or real(self, *a, **k)
    )
    samples = [Sample(1, png(), [Click(9, 9)] * 2, slice=0), Sample(2, png(), slice=4)]

    draw(add_up(samples))

    first, second, bar = figures[0].axes
    assert [axes.get_title() for axes in (first, second)] == [
        "slice 0: 2 clicks",
        "slice 4: no clicks",
    ]
    assert (first.get_xlabel(), first.get_ylabel()) == ("x (pixels)", "y (pixels)")
    assert first.get_ylim() == (60, 0), "the origin is at the top left"
    assert [words.get_text() for words in second.texts] == ["no clicks"]
    assert bar.get_ylabel() == "clicks per ring area (a disc of radius 10 pixels)"


def test_without_clicks_there_is_no_scale_and_the_map_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    monkeypatch.setattr(text, "write", lambda _i, _p, lines, *_: written.extend(lines) or 20)

    drawn = np.asarray(draw(add_up([Sample(1, png(80, (500, 200)))])))

    assert written == ["no clicks in 1 review of 1 picture"]
    assert (drawn == 60).all(axis=-1).any()
    assert (np.ptp(drawn.astype(int), axis=-1) == 0).all(), "nothing is coloured"


def test_matplotlib_is_loaded_by_drawing_only_and_never_pyplot() -> None:
    program = (
        "import sys; from dirtmodel.draw import annotate, heatmaps, sheets, text;"
        "loaded = [m for m in sys.modules if m == 'matplotlib'];"
        "import numpy as np;"
        "plane = np.zeros((9, 9));"
        "heatmaps.draw(heatmaps.HeatMap({None: heatmaps.Density(plane, plane, 1, 1, 0, 0, 0, 0)}));"
        "print(loaded, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert result.stdout == "[] True False\n"
