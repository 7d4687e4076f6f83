"""Heat maps: the density of clicks over the mean picture, with one panel for each slice.

Pictures are added to one sum for each size, so memory does not grow with their number. At the end,
the sums of the other sizes are scaled to the most frequent size. This is exact, because scaling is
linear: the scaled mean is the mean of the scaled pictures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from dirtmodel.draw import decode, rings, text
from dirtmodel.draw.rings import Click
from dirtmodel.errors import PictureError, UsageError
from dirtmodel.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT_SIGMA: Final = 12.0
"""Width of the smoothing in pixels, about the radius of a ring."""
MAX_SIGMA: Final = 1000.0

_RING_AREA: Final = math.pi * rings.RADIUS**2
_MAX_SIZES: Final = 8
"""The most picture sizes with a sum of their own; others are scaled to the most frequent one."""
_MAX_PANELS: Final = 48

_LABEL_ZONE: Final = (0.92, 0.25)
"""DIRT writes the position of a cut below this part of the height, left of this part of the width.
"""
_LABEL_GREY: Final = 64
"""The grey from which a pixel of the label zone counts as part of a label."""
_MAX_LABEL_PART: Final = 0.3
"""If a larger part of the label zone is bright, the zone shows the brain and not a label."""

_DPI: Final = 100
_COLOURS: Final = "inferno"
"""Perceptually uniform and readable for colour-blind people; the picture shows under its dark end.
"""
_WHITE: Final = 340
"""The grey that is drawn white; above 255, so that the picture stays darker than the heat."""
_OPAQUE_FROM: Final = 0.25
"""The part of the highest density from which the heat has its full opacity."""
_OPACITY: Final = 0.85
_PANEL_WIDTHS: Final = {1: 640, 2: 520, 3: 420}
"""Width of a panel in pixels, by the number of columns."""
_AROUND: Final = (70, 80)
"""Width and height in pixels of the tick labels, axis labels and title of a panel."""
_SCALE_WIDTH: Final = 110
"""Width of the colour bar with its labels, in pixels."""
_PADDING: Final = 12
_TITLE_SIZE: Final = 16
_TEXT_SIZE: Final = 13

_Number = TypeVar("_Number", np.uint8, np.float32)
Plane = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One picture, the clicks on it, and the number of reviews that they come from.

    Samples of one slice share a panel. A sample without `data` has the `size` of its picture and
    adds only its clicks.
    """

    img_id: int
    data: bytes | memoryview | None
    clicks: Sequence[Click] = ()
    n_reviews: int = 1
    slice: int | None = None
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Density:
    """Clicks per ring area (a disc of radius 10 px) over the mean picture: one panel.

    Attributes
    ----------
    mean
        Mean grey of the pictures, height × width, 0 to 255.
    clicks
        Smoothed density of clicks, height × width, in clicks per ring area.
    n_pictures, n_reviews, n_clicks
        Numbers of pictures, reviews and clicks that the panel shows.
    n_scaled
        Number of pictures that were scaled, with their clicks, to the most frequent size.
    n_at_edge
        Number of clicks at or beyond the edge, which were moved to the border.
    n_incomplete
        Number of clicks without a complete position, which were left out.
    """

    mean: Plane
    clicks: Plane
    n_pictures: int
    n_reviews: int
    n_clicks: int
    n_scaled: int
    n_at_edge: int
    n_incomplete: int


@dataclass(frozen=True)
class HeatMap:
    """The density of each slice, in order.

    Attributes
    ----------
    damaged
        Ids of pictures that could not be decoded. Their clicks and reviews are left out too.
    """

    panels: Mapping[int | None, Density]
    damaged: tuple[int, ...] = ()

    def total(self, name: str) -> int:
        """Return the sum of an attribute, for example n_clicks, over the panels."""
        return sum(getattr(panel, name) for panel in self.panels.values())


def add_up(samples: Iterable[Sample], *, sigma: float = DEFAULT_SIGMA) -> HeatMap:
    """Add up pictures and clicks by slice, and smooth the clicks with a Gaussian.

    One frame represents an animation. Smoothing reflects at the borders, so that no part of a
    click is lost there.

    Parameters
    ----------
    sigma
        Width of the smoothing in pixels.

    Raises
    ------
    UsageError
        No picture can be decoded, there are too many slices, or sigma is not a positive number.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise UsageError(f"sigma must be a positive number of pixels, not {sigma:g}")
    if sigma > MAX_SIGMA:
        raise UsageError(f"sigma is {sigma:g} pixels, wider than any picture; choose less")
    panels: dict[int | None, _Panel] = {}
    damaged = []
    for sample in samples:
        try:
            grey = None if sample.data is None else _grey(sample.data, sample.img_id)
        except PictureError:
            damaged.append(sample.img_id)
            continue
        if sample.slice not in panels and len(panels) == _MAX_PANELS:
            raise UsageError(
                f"there are more than {_MAX_PANELS} slices, too many for one heat map; choose one "
                "with --slice"
            )
        panels.setdefault(sample.slice, _Panel()).add(sample, grey)
    if not panels:
        raise UsageError(_no_picture_message(damaged))
    order = sorted(panels, key=lambda number: (number is not None, number))
    return HeatMap({number: panels[number].density(sigma) for number in order}, tuple(damaged))


@dataclass
class _Sum:
    """All pictures of one size: their sum, and their clicks as parts of width and height.

    `lowest` and `highest` are the least and greatest grey of each pixel; only the label zone
    needs them.
    """

    total: Plane
    lowest: npt.NDArray[np.uint8]
    highest: npt.NDArray[np.uint8]
    n_pictures: int = 0
    n_averaged: int = 0
    places: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def empty(cls, size: tuple[int, int]) -> "_Sum":
        shape = size[1], size[0]
        return cls(np.zeros(shape), np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8))

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.total.shape
        return width, height

    def add(self, grey: Image.Image) -> None:
        pixels = np.asarray(grey if grey.size == self.size else grey.resize(self.size))
        self.total += pixels
        np.minimum(self.lowest, pixels, out=self.lowest)
        np.maximum(self.highest, pixels, out=self.highest)
        self.n_averaged += 1

    def fold(self, other: "_Sum") -> None:
        """Add the pictures of another size, scaled to this size."""
        self.total += self._scaled(other.total.astype(np.float32))
        np.minimum(self.lowest, self._scaled(other.lowest), out=self.lowest)
        np.maximum(self.highest, self._scaled(other.highest), out=self.highest)
        self.n_pictures += other.n_pictures
        self.n_averaged += other.n_averaged
        self.places += other.places

    def _scaled(self, plane: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        scaled = Image.fromarray(plane).resize(self.size, Image.Resampling.BILINEAR)
        return np.asarray(scaled, dtype=plane.dtype)

    def mean(self) -> Plane:
        """Return the mean picture, without the label of the cut if it differs between pictures."""
        mean = self.total / max(self.n_averaged, 1)
        height, width = mean.shape
        zone = slice(round(height * _LABEL_ZONE[0]), None), slice(round(width * _LABEL_ZONE[1]))
        bright = self.highest[zone] >= _LABEL_GREY
        differs = (bright & (self.lowest[zone] < _LABEL_GREY)).any()
        if differs and bright.mean() < _MAX_LABEL_PART:
            mean[zone][bright] = 0
        return mean


@dataclass
class _Panel:
    """The sums of one slice."""

    sums: dict[tuple[int, int], _Sum] = field(default_factory=dict)
    n_of_size: dict[tuple[int, int], int] = field(default_factory=dict)
    n_reviews: int = 0
    n_at_edge: int = 0
    n_incomplete: int = 0

    def add(self, sample: Sample, grey: Image.Image | None) -> None:
        size = sample.size if grey is None else grey.size
        points, n_incomplete = rings.points(sample.clicks)
        target = self._sum_for(size)
        target.n_pictures += 1
        if grey is not None:
            target.add(grey)
        target.places += [
            (min(max(x / size[0], 0), 1), min(max(y / size[1], 0), 1)) for x, y, _ in points
        ]
        self.n_of_size[size] = self.n_of_size.get(size, 0) + 1
        self.n_reviews += sample.n_reviews
        self.n_incomplete += n_incomplete
        self.n_at_edge += sum(not rings.is_inside(point, size) for point in points)

    def density(self, sigma: float) -> Density:
        majority = max(self.sums.values(), key=lambda one: one.n_pictures)
        for one in self.sums.values():
            if one is not majority:
                majority.fold(one)
        return Density(
            mean=majority.mean(),
            clicks=_smoothed(majority, sigma) * _RING_AREA,
            n_pictures=majority.n_pictures,
            n_reviews=self.n_reviews,
            n_clicks=len(majority.places),
            n_scaled=majority.n_pictures - self.n_of_size.get(majority.size, 0),
            n_at_edge=self.n_at_edge,
            n_incomplete=self.n_incomplete,
        )

    def _sum_for(self, size: tuple[int, int]) -> _Sum:
        if size not in self.sums:
            if len(self.sums) >= _MAX_SIZES:
                return max(self.sums.values(), key=lambda one: one.n_pictures)
            self.sums[size] = _Sum.empty(size)
        return self.sums[size]


def _grey(data: bytes | memoryview, img_id: int) -> Image.Image:
    image = decode.open_picture(data, img_id)
    n_frames = decode.count_frames(image, img_id)
    frame = decode.as_rgba(image)
    if n_frames > 1:
        chosen = decode.representative_frames(n_frames, 1)
        (frame,) = decode.frames_at(data, img_id, chosen)
    black = Image.new("RGBA", frame.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, frame).convert("L")


def _smoothed(majority: _Sum, sigma: float) -> Plane:
    """Return the smoothed number of clicks per pixel."""
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


def draw(heat_map: HeatMap, *, title: str = "") -> Image.Image:
    """Draw the title and the counts, and below them the panels with axes and one colour bar."""
    figure = _figure(heat_map.panels)
    heading = text.wrap(title, _TITLE_SIZE, figure.width - 2 * _PADDING)
    lines = text.wrap_all(counts(heat_map), _TEXT_SIZE, figure.width - 2 * _PADDING)
    top = _PADDING + len(heading) * text.line_height(_TITLE_SIZE)
    top += len(lines) * text.line_height(_TEXT_SIZE)
    whole = Image.new("RGB", (figure.width, top + figure.height), text.PAPER)
    below = text.write(whole, (_PADDING, _PADDING), heading, _TITLE_SIZE)
    text.write(whole, (_PADDING, below), lines, _TEXT_SIZE, text.FAINT)
    whole.paste(figure, (0, top))
    return whole


def _figure(panels: Mapping[int | None, Density]) -> Image.Image:
    # pyplot would choose a window system and keep every figure in memory.
    from matplotlib import cm, colors
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_columns = min(len(panels), 2 if len(panels) in {2, 4} else 3)
    n_rows = math.ceil(len(panels) / n_columns)
    height, width = next(iter(panels.values())).mean.shape
    across = _PANEL_WIDTHS[n_columns]
    size = (
        n_columns * (across + _AROUND[0]) + _SCALE_WIDTH,
        n_rows * (across * min(height / width, 2) + _AROUND[1]),
    )
    figure = Figure(
        figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI, layout="constrained", facecolor="white"
    )
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    peak = max(float(panel.clicks.max()) for panel in panels.values())
    for axis, (number, panel) in zip(axes.flat, panels.items(), strict=False):
        _draw_panel(axis, panel, peak)
        if len(panels) > 1:
            which = "no slice" if number is None else f"slice {number}"
            axis.set_title(f"{which}: {_n(panel.n_clicks, 'click')}", fontsize=10)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    if peak:
        label = f"clicks per ring area (a disc of radius {rings.RADIUS:g} pixels)"
        figure.colorbar(
            cm.ScalarMappable(colors.Normalize(0, peak), _COLOURS), ax=axes, label=label, aspect=40
        )
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib has no types for this
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # nor for this
    return Image.fromarray(pixels).convert("RGB")


def overlay(panel: Density, peak: float) -> Image.Image:
    """Return the mean picture under the density of clicks; `peak` gets the brightest colour."""
    from matplotlib import colormaps

    parts = panel.clicks / (peak or 1)
    opacity = (np.clip(parts / _OPAQUE_FROM, 0, 1) * _OPACITY * bool(panel.n_clicks))[..., None]
    grey = np.clip(panel.mean / _WHITE, 0, 1)[..., None]
    mixed = grey * (1 - opacity) + colormaps[_COLOURS](parts)[..., :3] * opacity
    return Image.fromarray(np.round(mixed * 255).astype(np.uint8))


def _draw_panel(axis: "Axes", panel: Density, peak: float) -> None:
    height, width = panel.mean.shape
    axis.imshow(np.asarray(overlay(panel, peak)), extent=(0, width, height, 0))
    if not panel.n_clicks:
        axis.text(0.5, 0.03, "no clicks", color="white", transform=axis.transAxes, ha="center")
    axis.set_xlabel("x (pixels)")
    axis.set_ylabel("y (pixels)")


def counts(heat_map: HeatMap) -> list[str]:
    """Return lines of text with the numbers of clicks, reviews and pictures in a heat map."""
    clicks = _n(heat_map.total("n_clicks"), "click")
    reviews = _n(heat_map.total("n_reviews"), "review")
    lines = [f"{clicks} in {reviews} of {_n(heat_map.total('n_pictures'), 'picture')}"]
    if n_at_edge := heat_map.total("n_at_edge"):
        lines.append(f"{_n(n_at_edge, 'click')} at or beyond the edge, moved to the border")
    if n_scaled := heat_map.total("n_scaled"):
        lines.append(f"{_n(n_scaled, 'picture')} of another size, scaled")
    if n_incomplete := heat_map.total("n_incomplete"):
        lines.append(f"{_n(n_incomplete, 'click')} without a complete position, left out")
    if heat_map.damaged:
        lines.append(f"{_n(len(heat_map.damaged), 'damaged picture')} left out")
    return lines


def _n(number: int, noun: str) -> str:
    return count(number, noun) if number else f"no {noun}s"


def _no_picture_message(damaged: list[int]) -> str:
    if damaged:
        return (
            f"none of the {len(damaged)} pictures of this heat map can be decoded "
            f"(the first is image {damaged[0]}); `dirtmodel check --decode RELEASE` says why"
        )
    return "no picture matches, so there is no heat map; try fewer conditions"
