"""Where reviewers click: the density of clicks over the mean picture.

Pictures are added up as they come, one sum for each size, so that memory does not grow with
their number. Which size is the majority's is known only at the end; the others are scaled then.
That is exact, as the scaled mean is the mean of the scaled.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dirtmodel.draw import decode, rings, text
from dirtmodel.draw.colours import heat
from dirtmodel.draw.rings import Click
from dirtmodel.errors import PictureError, UsageError

DEFAULT_SIGMA: Final = 12.0
MAX_SIGMA: Final = 1000.0
"""Smoothing in pixels: about a ring."""

_RING_AREA: Final = math.pi * rings.RADIUS**2
_MOST_SIZES: Final = 8
"""More sizes than this are folded into the most frequent one along the way."""

_BACKGROUND: Final = 0.75
_OPAQUE_FROM: Final = 0.25
_OPACITY: Final = 0.85
_PADDING: Final = 12
_TITLE_SIZE: Final = 16
_TEXT_SIZE: Final = 13
_BAR_WIDTH: Final = 18
_SCALE_WIDTH: Final = 110
_NARROWEST: Final = 420
_TICK_STEPS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_MOST_TICKS: Final = 6

Plane = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One picture, the clicks on it, and how many reviews they come from."""

    img_id: int
    data: bytes | memoryview
    clicks: Sequence[Click] = ()
    n_reviews: int = 1


@dataclass(frozen=True)
class Density:
    """Clicks per ring area (a disc of radius 10 px) over the mean picture.

    Attributes
    ----------
    mean
        Mean grey of the pictures, height × width, 0 to 255.
    clicks
        Smoothed density of clicks, height × width, in clicks per ring area.
    n_pictures, n_reviews, n_clicks
        What went in.
    n_scaled
        Pictures of another size than the majority, scaled to it with their clicks.
    n_at_edge
        Clicks at or beyond the edge, moved to the border.
    n_incomplete
        Clicks without a complete position, left out.
    damaged
        Ids of pictures that could not be decoded, left out with their clicks and reviews.
    """

    mean: Plane
    clicks: Plane
    n_pictures: int
    n_reviews: int
    n_clicks: int
    n_scaled: int
    n_at_edge: int
    n_incomplete: int
    damaged: tuple[int, ...]


@dataclass
class _Sum:
    """All pictures of one size: their sum, and their clicks as parts of width and height."""

    total: Plane
    n_pictures: int = 0
    places: list[tuple[float, float]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.total.shape
        return width, height

    def fold(self, other: "_Sum") -> None:
        """Take in pictures of another size, scaled."""
        scaled = Image.fromarray(other.total.astype(np.float32)).resize(
            self.size,
            Image.Resampling.BILINEAR,
        )
        self.total += np.asarray(scaled)
        self.n_pictures += other.n_pictures
        self.places += other.places


def density(samples: Iterable[Sample], *, sigma: float = DEFAULT_SIGMA) -> Density:
    """Add up pictures and clicks, and smooth the clicks with a Gaussian of `sigma` pixels.

    Of an animation the frame that tells most stands for all. Smoothing reflects at the borders,
    so no click is lost there.

    Raises
    ------
    UsageError
        There is no picture that could be decoded, or sigma is not a positive number.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise UsageError(f"sigma must be a positive number of pixels, not {sigma:g}")
    if sigma > MAX_SIGMA:
        raise UsageError(f"sigma is {sigma:g} pixels, wider than any picture; give less")
    sums: dict[tuple[int, int], _Sum] = {}
    sizes_seen: dict[tuple[int, int], int] = {}
    n_reviews = n_at_edge = n_incomplete = 0
    damaged = []
    for sample in samples:
        try:
            grey = _grey(sample)
        except PictureError:
            damaged.append(sample.img_id)
            continue
        size = grey.size
        drawable, incomplete = rings.points(sample.clicks)
        kept = _sum_for(size, sums)
        kept.total += np.asarray(grey if kept.size == size else grey.resize(kept.size))
        kept.n_pictures += 1
        kept.places += [
            (min(max(x / size[0], 0), 1), min(max(y / size[1], 0), 1)) for x, y, _ in drawable
        ]
        sizes_seen[size] = sizes_seen.get(size, 0) + 1
        n_reviews += sample.n_reviews
        n_incomplete += incomplete
        n_at_edge += sum(not rings.is_inside(point, size) for point in drawable)
    if not sums:
        raise UsageError(_nothing(damaged))
    majority = max(sums.values(), key=lambda one: one.n_pictures)
    n_clicks = sum(len(one.places) for one in sums.values())
    for one in sums.values():
        if one is not majority:
            majority.fold(one)
    n_pictures = majority.n_pictures
    return Density(
        mean=majority.total / n_pictures,
        clicks=_smoothed(majority, sigma) * _RING_AREA,
        n_pictures=n_pictures,
        n_reviews=n_reviews,
        n_clicks=n_clicks,
        n_scaled=n_pictures - sizes_seen.get(majority.size, 0),
        n_at_edge=n_at_edge,
        n_incomplete=n_incomplete,
        damaged=tuple(damaged),
    )


def draw(found: Density, *, title: str = "") -> Image.Image:
    """Draw a density with its title, its numbers and a colour scale."""
    height, width = found.mean.shape
    peak = float(found.clicks.max())
    canvas_width = max(width + _SCALE_WIDTH, _NARROWEST) + 2 * _PADDING
    inner = canvas_width - 2 * _PADDING
    heading = text.wrap(title, _TITLE_SIZE, inner)
    lines = text.wrap_all(_counts(found), _TEXT_SIZE, inner)
    top = (
        _PADDING
        + len(heading) * text.line_height(_TITLE_SIZE)
        + len(lines) * text.line_height(_TEXT_SIZE)
        + _PADDING // 2
    )
    whole = Image.new("RGB", (canvas_width, top + height + _PADDING), text.PAPER)
    below = text.write(whole, (_PADDING, _PADDING), heading, _TITLE_SIZE)
    text.write(whole, (_PADDING, below), lines, _TEXT_SIZE, text.FAINT)
    levels = found.clicks / peak if peak else found.clicks
    whole.paste(_coloured(found.mean * _BACKGROUND, levels), (_PADDING, top))
    if peak:
        _draw_scale(whole, (_PADDING + width + _PADDING, top), height, peak)
    return whole


def _grey(sample: Sample) -> Image.Image:
    image = decode.open_picture(sample.data, sample.img_id)
    n_frames = decode.count_frames(image, sample.img_id)
    frame = decode.as_rgba(image)
    if n_frames > 1:
        chosen = decode.telling_frames(n_frames, 1)
        (frame,) = decode.frames_at(sample.data, sample.img_id, chosen)
    black = Image.new("RGBA", frame.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, frame).convert("L")


def _sum_for(size: tuple[int, int], sums: dict[tuple[int, int], _Sum]) -> _Sum:
    if size in sums:
        return sums[size]
    if len(sums) >= _MOST_SIZES:
        return max(sums.values(), key=lambda one: one.n_pictures)
    sums[size] = _Sum(np.zeros((size[1], size[0])))
    return sums[size]


def _smoothed(majority: _Sum, sigma: float) -> Plane:
    """Give clicks per pixel."""
    from scipy import ndimage

    width, height = majority.size
    counts = np.zeros((height, width))
    if majority.places:
        places = np.array(majority.places) * (width, height)
        columns = np.minimum(places[:, 0].astype(np.intp), width - 1)
        rows = np.minimum(places[:, 1].astype(np.intp), height - 1)
        np.add.at(counts, (rows, columns), 1)
    smoothed: Plane = ndimage.gaussian_filter(counts, sigma, mode="reflect")
    return smoothed


def _coloured(grey: Plane, levels: Plane) -> Image.Image:
    opacity = np.clip(levels / _OPAQUE_FROM, 0, 1)[..., np.newaxis] * _OPACITY
    mixed = heat(levels) * opacity + grey[..., np.newaxis] * (1 - opacity)
    return Image.fromarray(mixed.round().astype(np.uint8))


def _draw_scale(whole: Image.Image, place: tuple[int, int], height: int, peak: float) -> None:
    left, top = place
    label = text.wrap("clicks per ring area", _TEXT_SIZE, _SCALE_WIDTH - _PADDING)
    top = text.write(whole, (left, top), label, _TEXT_SIZE, text.FAINT) + 8
    length = max(height - (top - place[1]) - 8, 40)
    levels = np.repeat(np.linspace(1, 0, length)[:, np.newaxis], _BAR_WIDTH, axis=1)
    whole.paste(_coloured(np.zeros_like(levels), levels), (left, top))
    pen = ImageDraw.Draw(whole)
    for value in ticks(peak):
        y = top + round((1 - value / peak) * (length - 1))
        pen.line([(left + _BAR_WIDTH, y), (left + _BAR_WIDTH + 4, y)], fill=text.INK)
        pen.text(
            (left + _BAR_WIDTH + 8, y),
            f"{value:g}",
            fill=text.INK,
            font=text.font(_TEXT_SIZE),
            anchor="lm",
        )


def ticks(peak: float) -> list[float]:
    """Give round numbers from 0 up to the peak, at steps of 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> ticks(3.7), ticks(0.011)
    ([0.0, 1.0, 2.0, 3.0], [0.0, 0.002, 0.004, 0.006, 0.008, 0.01])
    """
    power = 10 ** math.floor(math.log10(peak))
    step = next(part * power for part in _TICK_STEPS if peak <= part * power * _MOST_TICKS)
    return [float(f"{step * number:.3g}") for number in range(int(peak / step + 1e-9) + 1)]


def _counts(found: Density) -> list[str]:
    """Say what the map is made of."""
    reviews = _n(found.n_reviews, "review")
    lines = [f"{_n(found.n_clicks, 'click')} in {reviews} of {_n(found.n_pictures, 'picture')}"]
    if found.n_at_edge:
        lines.append(f"{_n(found.n_at_edge, 'click')} at or beyond the edge, moved to the border")
    if found.n_scaled:
        lines.append(f"{_n(found.n_scaled, 'picture')} of another size, scaled")
    if found.n_incomplete:
        lines.append(f"{_n(found.n_incomplete, 'click')} without a complete position, left out")
    if found.damaged:
        lines.append(f"{_n(len(found.damaged), 'damaged picture')} left out")
    return lines


def _n(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _nothing(damaged: list[int]) -> str:
    if damaged:
        return (
            f"none of the {len(damaged)} pictures of this heat map can be decoded "
            f"(the first is image {damaged[0]}); `dirtmodel check RELEASE` says why"
        )
    return "no picture matches, so there is no heat map; try fewer conditions"
