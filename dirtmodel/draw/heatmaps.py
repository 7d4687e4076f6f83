"""Where reviewers click: the density of clicks over the mean picture, one panel for each slice.

Pictures are added up as they come, one sum for each size, so that memory does not grow with
their number. Which size is the majority's is known only at the end; the others are scaled then.
That is exact, as the scaled mean is the mean of the scaled.
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT_SIGMA: Final = 12.0
MAX_SIGMA: Final = 1000.0
"""Smoothing in pixels: about a ring."""

_RING_AREA: Final = math.pi * rings.RADIUS**2
_MOST_SIZES: Final = 8
"""More sizes than this are folded into the most frequent one along the way."""
_MOST_PANELS: Final = 48

_ZONE: Final = (0.92, 0.25)
"""DIRT writes the position of a cut below this part of the height, left of this part of the width.
"""
_WRITTEN: Final = 64
"""The grey from which a pixel of that zone counts as written."""
_MOST_WRITTEN: Final = 0.3
"""Where more than this part of the zone is bright, it shows the brain and not a label."""

_DPI: Final = 100
_COLOURS: Final = "inferno"
"""Perceptually uniform, and readable without red or green; its dark end leaves the picture seen."""
_BRIGHTEST: Final = 340
"""Grey that would be white: above 255, so that the picture stays darker than the heat."""
_OPAQUE_FROM: Final = 0.25
_OPACITY: Final = 0.85
_PANEL_WIDTHS: Final = {1: 640, 2: 520, 3: 420}
"""Pixels of a panel by the number of columns."""
_AROUND: Final = (70, 80)
"""Pixels that tick labels, axis labels and title take across and down."""
_SCALE_WIDTH: Final = 110
_PADDING: Final = 12
_TITLE_SIZE: Final = 16
_TEXT_SIZE: Final = 13

_Number = TypeVar("_Number", np.uint8, np.float32)
Plane = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One picture, the clicks on it, and how many reviews they come from.

    Samples of one slice share a panel. Without `data`, a sample has the `size` of its picture, and
    only its clicks are drawn.
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
        What went in.
    n_scaled
        Pictures of another size than the majority, scaled to it with their clicks.
    n_at_edge
        Clicks at or beyond the edge, moved to the border.
    n_incomplete
        Clicks without a complete position, left out.
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
    """The densities by slice, in order.

    Attributes
    ----------
    damaged
        Ids of pictures that could not be decoded, left out with their clicks and reviews.
    """

    panels: Mapping[int | None, Density]
    damaged: tuple[int, ...] = ()

    def total(self, name: str) -> int:
        """Add up a number, for example n_clicks, over the panels."""
        return sum(getattr(panel, name) for panel in self.panels.values())


def add_up(samples: Iterable[Sample], *, sigma: float = DEFAULT_SIGMA) -> HeatMap:
    """Add up pictures and clicks by slice, and smooth the clicks with a Gaussian.

    An animation is represented by one of its frames. Smoothing reflects at the borders,
    so no click is lost there.

    Parameters
    ----------
    sigma
        Width of the smoothing in pixels.

    Raises
    ------
    UsageError
        There is no picture that could be decoded, there are too many slices, or sigma is not a
        positive number.
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
        if sample.slice not in panels and len(panels) == _MOST_PANELS:
            raise UsageError(
                f"there are more than {_MOST_PANELS} slices, too many for one heat map; choose one "
                "with --slice"
            )
        panels.setdefault(sample.slice, _Panel()).add(sample, grey)
    if not panels:
        raise UsageError(_nothing(damaged))
    order = sorted(panels, key=lambda number: (number is not None, number))
    return HeatMap({number: panels[number].density(sigma) for number in order}, tuple(damaged))


@dataclass
class _Sum:
    """All pictures of one size: their sum, and their clicks as parts of width and height.

    `lowest` and `highest` are over all pictures, and needed in the zone of labels only.
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
        """Take in pictures of another size, scaled."""
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
        """Return the mean picture, without the label of the cut where the pictures differ in it."""
        mean = self.total / max(self.n_averaged, 1)
        height, width = mean.shape
        zone = slice(round(height * _ZONE[0]), None), slice(round(width * _ZONE[1]))
        written = self.highest[zone] >= _WRITTEN
        differs = (written & (self.lowest[zone] < _WRITTEN)).any()
        if differs and written.mean() < _MOST_WRITTEN:
            mean[zone][written] = 0
        return mean


@dataclass
class _Panel:
    """What is added up for one slice."""

    sums: dict[tuple[int, int], _Sum] = field(default_factory=dict)
    n_of_size: dict[tuple[int, int], int] = field(default_factory=dict)
    n_reviews: int = 0
    n_at_edge: int = 0
    n_incomplete: int = 0

    def add(self, sample: Sample, grey: Image.Image | None) -> None:
        size = sample.size if grey is None else grey.size
        points, n_incomplete = rings.points(sample.clicks)
        chosen = self._sum_for(size)
        chosen.n_pictures += 1
        if grey is not None:
            chosen.add(grey)
        chosen.places += [
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
            if len(self.sums) >= _MOST_SIZES:
                return max(self.sums.values(), key=lambda one: one.n_pictures)
            self.sums[size] = _Sum.empty(size)
        return self.sums[size]


def _grey(data: bytes | memoryview, img_id: int) -> Image.Image:
    image = decode.open_picture(data, img_id)
    n_frames = decode.count_frames(image, img_id)
    frame = decode.as_rgba(image)
    if n_frames > 1:
        chosen = decode.telling_frames(n_frames, 1)
        (frame,) = decode.frames_at(data, img_id, chosen)
    black = Image.new("RGBA", frame.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, frame).convert("L")


def _smoothed(majority: _Sum, sigma: float) -> Plane:
    """Return clicks per pixel."""
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


def draw(found: HeatMap, *, title: str = "") -> Image.Image:
    """Draw the panels with their axes and one colour bar, below the title and the numbers."""
    figure = _figure(found.panels)
    heading = text.wrap(title, _TITLE_SIZE, figure.width - 2 * _PADDING)
    lines = text.wrap_all(counts(found), _TEXT_SIZE, figure.width - 2 * _PADDING)
    top = _PADDING + len(heading) * text.line_height(_TITLE_SIZE)
    top += len(lines) * text.line_height(_TEXT_SIZE)
    whole = Image.new("RGB", (figure.width, top + figure.height), text.PAPER)
    below = text.write(whole, (_PADDING, _PADDING), heading, _TITLE_SIZE)
    text.write(whole, (_PADDING, below), lines, _TEXT_SIZE, text.FAINT)
    whole.paste(figure, (0, top))
    return whole


def _figure(panels: Mapping[int | None, Density]) -> Image.Image:
    # Without pyplot, which would choose a window system and keep every figure.
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
    """Lay the density of clicks over the mean picture, without axes; `peak` is the brightest."""
    from matplotlib import colormaps

    parts = panel.clicks / (peak or 1)
    opacity = (np.clip(parts / _OPAQUE_FROM, 0, 1) * _OPACITY * bool(panel.n_clicks))[..., None]
    grey = np.clip(panel.mean / _BRIGHTEST, 0, 1)[..., None]
    mixed = grey * (1 - opacity) + colormaps[_COLOURS](parts)[..., :3] * opacity
    return Image.fromarray(np.round(mixed * 255).astype(np.uint8))


def _draw_panel(axis: "Axes", panel: Density, peak: float) -> None:
    height, width = panel.mean.shape
    axis.imshow(np.asarray(overlay(panel, peak)), extent=(0, width, height, 0))
    if not panel.n_clicks:
        axis.text(0.5, 0.03, "no clicks", color="white", transform=axis.transAxes, ha="center")
    axis.set_xlabel("x (pixels)")
    axis.set_ylabel("y (pixels)")


def counts(found: HeatMap) -> list[str]:
    """State what the map is made of."""
    clicks, pictures = (
        _n(found.total("n_clicks"), "click"),
        _n(found.total("n_pictures"), "picture"),
    )
    lines = [f"{clicks} in {_n(found.total('n_reviews'), 'review')} of {pictures}"]
    if n_at_edge := found.total("n_at_edge"):
        lines.append(f"{_n(n_at_edge, 'click')} at or beyond the edge, moved to the border")
    if n_scaled := found.total("n_scaled"):
        lines.append(f"{_n(n_scaled, 'picture')} of another size, scaled")
    if n_incomplete := found.total("n_incomplete"):
        lines.append(f"{_n(n_incomplete, 'click')} without a complete position, left out")
    if found.damaged:
        lines.append(f"{_n(len(found.damaged), 'damaged picture')} left out")
    return lines


def _n(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else f"no {noun}s"


def _nothing(damaged: list[int]) -> str:
    if damaged:
        return (
            f"none of the {len(damaged)} pictures of this heat map can be decoded "
            f"(the first is image {damaged[0]}); `dirtmodel check --decode RELEASE` says why"
        )
    return "no picture matches, so there is no heat map; try fewer conditions"
