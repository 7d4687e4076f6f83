"""Heat maps: where the clicks are, how many, over the mean of the pictures."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dirtmodel.draw import heatmaps, text
from dirtmodel.draw.colours import heat
from dirtmodel.draw.heatmaps import Density, Sample, density, draw, ticks
from dirtmodel.draw.rings import Click
from dirtmodel.errors import UsageError

AREA = np.pi * 100


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
    monkeypatch.setattr(heatmaps, "_MOST_SIZES", 2)
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

    found = density(samples)

    assert (found.n_clicks, found.n_at_edge, found.n_incomplete) == (3, 2, 2)
    assert (found.n_reviews, found.n_pictures, found.damaged) == (4, 1, (2,))


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
        density([Sample(1, png())], sigma=sigma)


def test_nothing_to_draw_is_told() -> None:
    with pytest.raises(UsageError) as none:
        density([])
    with pytest.raises(UsageError) as damaged:
        density([Sample(number, b"") for number in range(7)])

    assert str(none.value) == "no picture matches, so there is no heat map; try fewer conditions"
    assert str(damaged.value) == (
        "none of the 7 pictures of this heat map can be decoded (the first is image 0); "
        "`dirtmodel check RELEASE` says why"
    )


def test_the_map_is_hottest_where_the_clicks_are() -> None:
    found = density([Sample(1, png(80, (300, 200)), [Click(150, 100)] * 3)])

    drawn = np.asarray(draw(found, title="MASK display X slice 3")).astype(int)

    top = drawn.shape[0] - 200 - 12
    area = drawn[top : top + 200, 12:312]
    assert area[100, 150].sum() > 500
    assert (area[5, 5] == 60).all(), "the mean picture, darkened"
    assert abs(area[100, 150] - heat(np.array(1.0)) * 0.85 - 0.15 * 60).max() <= 1


def test_title_and_numbers_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(text, "write", lambda _i, _p, lines, *_: written.extend(lines) or 20)
    plane = np.zeros((60, 80))

    draw(Density(plane, plane + 1, 1234, 5678, 1, 2, 1, 3, (7, 8)), title="All raters")

    assert written[:6] == [
        "All raters",
        "1 click in 5,678 reviews of 1,234 pictures",
        "1 click at or beyond the edge, moved to the border",
        "2 pictures of another size, scaled",
        "3 clicks without a complete position, left out",
        "2 damaged pictures left out",
    ]


def test_without_clicks_the_mean_picture_is_shown_without_a_scale() -> None:
    drawn = np.asarray(draw(density([Sample(1, png(80, (500, 200)))])))

    assert (drawn[-100, 100] == 60).all()
    assert (drawn[60:, 520:] == text.PAPER).all()


@given(st.floats(1e-6, 1e6))
def test_scales_have_three_to_seven_round_ticks_within_the_peak(peak: float) -> None:
    found = ticks(peak)

    assert 3 <= len(found) <= 7
    assert found[0] == 0
    assert peak * 0.6 <= found[-1] <= peak * 1.001


def test_lightness_rises_evenly_along_the_colour_scale() -> None:
    rgb = heat(np.linspace(0, 1, 101)) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(
        luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27
    )

    assert (np.diff(lightness) > 0).all()
    np.testing.assert_allclose(lightness, np.linspace(2, 96, 101), atol=3)
