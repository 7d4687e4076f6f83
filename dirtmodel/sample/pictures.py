"""Pictures that look like DIRT's: brains that are nobody's, drawn from ellipses and waves.

Each picture is a function of the recipe and its image alone, so that any of them can be drawn at
any time, in any order, with equal bytes.

Coordinates are in half picture heights from the centre, x right and y down, as in `Images.fault`.
"""

import functools
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from dirtmodel.sample.images import HALF_AXES, Images, shrinkage
from dirtmodel.sample.recipe import DTIFIT, FMAP, MASK, NORMALIZATION, SURFACE, Recipe

if TYPE_CHECKING:
    from PIL import Image as PillowImage

Field = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Colours = npt.NDArray[np.uint8]

WAVES: Final = 28
FOLDING: Final = 23.0
"""Radians per half picture height: how finely the cortex is folded."""

X, Y, Z = range(3)
_LOBES: Final = (
    ((-0.40, 0.46, 0.32, 0.24), (-0.06, 0.56, 0.12, 0.36)),
    ((-0.34, 0.36, 0.29, 0.28), (0.34, 0.36, 0.29, 0.28), (0.0, 0.55, 0.15, 0.30)),
    (),
)
"""What bulges out of the main ellipse per display: centre x, y and half axes."""
_AXIS_NAMES: Final = "xyz"
_DTIFIT_SIZE: Final = (332 / 480, 389 / 480)
_FINE, _COARSE = 160, 80
"""Columns of the voxel grid: DIRT draws voxels of 2 to 3 mm as visible squares."""

_TISSUE_COLOURS: Final = 250
_GREEN, _WHITE, _BLACK = 250, 251, 252
_CUBE: Final = 6
_VISIBLE: Final = 0.3
"""The severity from which a fault can be seen."""


@dataclass(frozen=True, eq=False)
class _Grid:
    """The voxels of a picture: x (1 × columns), y (rows × 1)."""

    x: Field
    y: Field

    def distance2(self, x: float, y: float) -> Field:
        """Squared distance from a point."""
        return (self.x - np.float32(x)) ** 2 + (self.y - np.float32(y)) ** 2

    def ellipse(self, x: float, y: float, rx: float, ry: float) -> Field:
        """Depth below the outline of an ellipse: 1 in the centre, 0 on it, negative outside."""
        unit = ((self.x - np.float32(x)) / np.float32(rx)) ** 2
        depth: Field = 1 - np.sqrt(unit + ((self.y - np.float32(y)) / np.float32(ry)) ** 2)
        return depth


@dataclass(frozen=True)
class _Anatomy:
    """One slice through one subject's brain, all fields rows × columns."""

    depth: Field
    white: Field
    sulci: Field
    ventricles: Field

    def tissue(self, *, white: float = 0.78, grey: float = 0.5, fluid: float = 0.12) -> Field:
        """Brightness by tissue, 0 outside the brain."""
        brain = grey + (white - grey) * self.white
        wet = np.maximum(self.sulci, self.ventricles)
        brightness: Field = _step(self.depth * 30) * (brain + (fluid - brain) * wet)
        return brightness


def make_painter(images: Images, recipe: Recipe) -> Callable[[int], bytes]:
    """Give the function that makes the picture of the image at a position."""
    if recipe.pictures == "noise":
        return lambda at: noise_png(recipe, at)
    if recipe.pictures == "tiny":
        png, gif = tiny_png(recipe.picture_size), tiny_gif(recipe.picture_size)
        return lambda at: gif if images.step[at] in {FMAP, DTIFIT} else png
    return lambda at: _Drawing(images, recipe, at).encoded()


# --- cheap pictures ---------------------------------------------------------------------------


def noise_png(recipe: Recipe, at: int) -> bytes:
    """Make a grey PNG of `picture_bytes`: rows of incompressible noise, then black.

    The noise is stored, not deflated; only that makes thousands a second.
    """
    width, height = recipe.picture_size
    rows = max(1, min(height, recipe.picture_bytes // (width + 1)))
    rng = np.random.default_rng([recipe.seed, at])
    noise = np.frombuffer(rng.bytes(rows * (width + 1)), dtype=np.uint8).copy()
    noise[:: width + 1] = 0  # each row begins with its filter, none
    body = _stored(noise.tobytes(), last=rows == height)
    rest = (height - rows) * (width + 1)
    checksum = zlib.adler32(noise.tobytes())
    # Zeros leave Adler's first sum alone and add it to the second once each.
    low, high = checksum & 0xFFFF, checksum >> 16
    checksum = ((high + rest * low) % 65521) << 16 | low
    packed = b"\x78\x01" + body + (_zeros(rest) if rest else b"") + struct.pack(">I", checksum)
    return _png(width, height, bits=8, packed=packed)


def _stored(data: bytes, *, last: bool) -> bytes:
    """Deflate blocks that hold data as it is."""
    blocks = []
    for start in range(0, len(data), 0xFFFF):
        part = data[start : start + 0xFFFF]
        final = last and start + 0xFFFF >= len(data)
        blocks.append(struct.pack("<BHH", final, len(part), len(part) ^ 0xFFFF) + part)
    return b"".join(blocks)


@functools.cache
def _zeros(n: int) -> bytes:
    """Deflate n zeros, without header and checksum."""
    deflate = zlib.compressobj(9, wbits=-15)
    return deflate.compress(bytes(n)) + deflate.flush()


def _png(width: int, height: int, *, bits: int, packed: bytes) -> bytes:
    """Wrap packed rows as a greyscale PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def tiny_png(size: tuple[int, int]) -> bytes:
    """Make the smallest PNG of a size: black, one bit a pixel."""
    width, height = size
    return _png(
        width, height, bits=1, packed=zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    )


def tiny_gif(size: tuple[int, int]) -> bytes:
    """Make a GIF of that size with two frames that differ in one pixel."""
    from PIL import Image

    first, second = Image.new("P", size, 0), Image.new("P", size, 0)
    for frame in (first, second):
        frame.putpalette([0, 0, 0, 255, 255, 255])
    second.putpixel((0, 0), 1)
    return _gif([first, second], duration=300)


# --- drawn pictures ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Drawing:
    """The picture of one image: `at` is its position in `images`."""

    images: Images
    recipe: Recipe
    at: int

    def encoded(self) -> bytes:
        """Draw the picture and encode it as DIRT stores it."""
        draw = {
            MASK: self._mask,
            NORMALIZATION: self._normalization,
            SURFACE: self._surface,
            FMAP: self._coregistration,
            DTIFIT: self._dtifit,
        }
        return draw[int(self.images.step[self.at])]()

    @property
    def _display(self) -> int:
        return int(self.images.display[self.at])

    @property
    def _target(self) -> int:
        return int(self.images.target[self.at])

    @property
    def _height_above_middle(self) -> float:
        """Where the slice lies along its axis, -0.5 to 0.5."""
        n_slices = self.images.targets[self._target].n_slices
        return (int(self.images.slice[self.at]) + 0.5) / n_slices - 0.5

    @property
    def _side(self) -> int:
        """Whether this target's fault bulges out (1) or bites in (-1)."""
        return 1 if self._target % 3 else -1

    def _shrinkage(self) -> float:
        n_slices = self.images.targets[self._target].n_slices
        return float(shrinkage(int(self.images.slice[self.at]), n_slices))

    def _grid(self, columns: int = _FINE) -> _Grid:
        width, height = self.recipe.picture_size
        return _grid(
            min(columns, width), min(round(columns * height / width), height), width / height
        )

    def _fault(self, grid: _Grid) -> Field:
        """Raise a bump over the fault, as high as it is bad; hardly visible in good images."""
        severity = float(self.images.severity[self.at])
        bump: Field = np.exp(-grid.distance2(*self.images.fault[self.at]) / (2 * 0.16**2))
        return bump * np.float32(severity if severity > _VISIBLE else severity / 6)

    def _anatomy(self, grid: _Grid, warp: Field | float = 0.0) -> _Anatomy:
        subject = self.images.targets[self._target].subject
        return _slice(
            grid,
            _waves(self.recipe.seed, subject),
            self._display,
            self._height_above_middle,
            self._shrinkage(),
            warp,
        )

    def _grain(self, shape: tuple[int, ...], strength: float) -> Field:
        rng = np.random.default_rng([self.recipe.seed, self.at])
        grain: Field = rng.random(shape, dtype=np.float32)
        return (grain - np.float32(0.5)) * np.float32(strength)

    def _mask(self) -> bytes:
        grid = self._grid()
        anatomy = self._anatomy(grid)
        depth = anatomy.depth
        skull = _step((0.035 - np.abs(depth + 0.17)) * 60) * np.float32(0.38)
        grey = anatomy.tissue() + skull
        mask = depth + 0.03 + self._side * 0.55 * self._fault(grid) > 0
        colours = _grey_rgb(grey + self._grain(grey.shape, 0.04))
        _tint(colours, mask, (70, 210, 70), 0.4)
        colours[_edge(mask)] = 170
        return self._png(colours)

    def _normalization(self) -> bytes:
        grid = self._grid()
        warp = self._side * 0.5 * self._fault(grid)
        grey = self._anatomy(grid, warp).tissue()
        template = _slice(
            grid, _waves(0, -1), self._display, self._height_above_middle, self._shrinkage(), 0.0
        )
        colours = _grey_rgb(grey + self._grain(grey.shape, 0.03))
        outline = _step((0.035 - np.abs(template.depth + 0.02)) * 1000)
        fluid = np.maximum(outline, template.ventricles)
        _tint(colours, np.rint(fluid).astype(np.bool_), (0, 0, 190), 0.7)
        return self._png(colours)

    def _surface(self) -> bytes:
        grid = self._grid()
        anatomy = self._anatomy(grid)
        error = self._side * self._fault(grid)
        grey = anatomy.tissue()
        colours = _grey_rgb(grey * np.float32(0.9) + self._grain(grey.shape, 0.03))
        inner = anatomy.white * _step((anatomy.depth - 0.05) * 1000) + 0.9 * error
        colours[_edge(np.rint(inner) > 0)] = (40, 50, 230)
        colours[_edge(anatomy.depth + 0.5 * error > 0)] = (200, 30, 30)
        return self._png(colours)

    def _coregistration(self) -> bytes:
        grid = self._grid(_COARSE)
        fault = self._fault(grid)
        still = self._anatomy(grid)
        moved = self._anatomy(grid, self._side * 0.55 * fault)
        contour = _edge(still.depth > 0)
        frames = []
        for label, anatomy in (("func/boldref", still), ("fmap/epi", moved)):
            bright = anatomy.tissue(white=0.5, grey=0.68, fluid=0.98)
            bright += self._grain(bright.shape, 0.12) * (bright > 0)
            colours = np.clip(bright * _TISSUE_COLOURS, 0, _TISSUE_COLOURS - 1).astype(np.uint8)
            colours[contour] = _GREEN
            frame = self._enlarged(colours, self.recipe.picture_size)
            frame.putpalette(_tissue_palette())
            self._label(frame, _WHITE)
            _banner(frame, label)
            frames.append(frame)
        return _gif(frames, duration=300)

    def _dtifit(self) -> bytes:
        width, height = (round(self.recipe.picture_size[1] * part) for part in _DTIFIT_SIZE)
        columns, rows = min(83, width), min(97, height)
        grid = _grid(columns, rows, width / height)
        waves = _waves(self.recipe.seed, self.images.targets[self._target].subject)
        lost = 1 - np.minimum(1.3 * self._fault(grid), 1)
        grain = self._grain((self.recipe.frames, rows, columns), 0.5)
        frames = []
        for nth in range(self.recipe.frames):
            middle = (nth + 0.5) / self.recipe.frames - 0.5
            anatomy = _slice(grid, waves, Z, middle, float(shrinkage(nth, self.recipe.frames)), 0.0)
            frame = self._enlarged(_anisotropy(grid, anatomy, lost, grain[nth]), (width, height))
            frame.putpalette(_cube_palette())
            frames.append(frame)
        return _gif(frames, duration=200)

    def _png(self, colours: Colours) -> bytes:
        picture = self._enlarged(colours, self.recipe.picture_size)
        self._label(picture, (255, 255, 255))
        file = io.BytesIO()
        picture.convert("RGBA").save(file, "PNG", compress_level=4)
        return file.getvalue()

    def _enlarged(self, colours: Colours, size: tuple[int, int]) -> "PillowImage.Image":
        from PIL import Image

        picture = Image.fromarray(colours)
        return picture.resize(size, Image.Resampling.NEAREST)

    def _label(self, picture: "PillowImage.Image", colour: int | tuple[int, int, int]) -> None:
        """Write where the slice lies and, where it shows both, which side is which."""
        width, height = picture.size
        position = round(140 * self._height_above_middle)
        margin = height // 40
        below = height - margin - _text_height(height)
        _write(picture, (margin, below), f"{_AXIS_NAMES[self._display]}={position}", colour)
        if self._display != X:
            _write(picture, (width // 6, margin), "L", colour)
            _write(picture, (width * 5 // 6, margin), "R", colour)


@functools.lru_cache(maxsize=8)
def _grid(columns: int, rows: int, aspect: float) -> _Grid:
    x = ((np.arange(columns) + 0.5) / columns * 2 - 1) * aspect
    y = (np.arange(rows) + 0.5) / rows * 2 - 1
    return _Grid(x.astype(np.float32)[np.newaxis, :], y.astype(np.float32)[:, np.newaxis])


@dataclass(frozen=True, eq=False)
class _Waves:
    """One subject's folding: plane waves through the whole head (3 × WAVES), and its shape."""

    vectors: npt.NDArray[np.float64]
    phases: npt.NDArray[np.float64]
    breadth: float
    ventricles: float


@functools.lru_cache(maxsize=64)
def _waves(seed: int, subject: int) -> _Waves:
    rng = np.random.default_rng([seed, subject + 1])
    vectors = rng.normal(size=(3, WAVES))
    vectors *= FOLDING * rng.uniform(0.75, 1.25, WAVES) / np.linalg.norm(vectors, axis=0)
    return _Waves(
        vectors,
        rng.uniform(0, 2 * np.pi, WAVES),
        breadth=float(rng.uniform(0.95, 1.04)),
        ventricles=float(rng.uniform(0.8, 1.25)),
    )


@functools.lru_cache(maxsize=64)  # a subject's slices come again in each of its targets
def _folds(grid: _Grid, waves: _Waves, display: int, position: float) -> Field:
    """Sum the waves in one slice, to a standard deviation of 1; the sides mirror each other.

    A plane wave is a product of one function of x and one of y, so that their sum is a matrix
    product: fifty times faster than evaluating each wave in each voxel.
    """
    across, down = ((1, 2), (0, 2), (0, 1))[display]
    x = grid.x[0] if display == X else np.abs(grid.x[0])
    phases = waves.phases + waves.vectors[display] * position
    left = np.exp(1j * (np.outer(grid.y[:, 0], waves.vectors[down]) + phases)).astype(np.complex64)
    right = np.exp(1j * np.outer(waves.vectors[across], x)).astype(np.complex64)
    folds: Field = (left @ right).real / np.float32(np.sqrt(WAVES / 2))
    return folds


def _slice(
    grid: _Grid, waves: _Waves, display: int, position: float, scale: float, warp: Field | float
) -> _Anatomy:
    """Cut through a brain; `warp` moves its outline outward where positive."""
    folds = _folds(grid, waves, display, position)
    rx, ry = HALF_AXES[display]
    rx, ry = rx * scale * waves.breadth, ry * scale
    depth = grid.ellipse(0, 0, rx, ry)
    for part in _LOBES[display]:
        depth = np.maximum(depth, 0.6 * grid.ellipse(*(scale * extent for extent in part)))
    depth = depth + np.float32(0.02) * folds + np.asarray(warp, dtype=np.float32)

    # A sulcus runs where the waves cancel; grey matter lines it, as it lines the outside.
    from_sulcus = np.abs(folds) + 3 * np.maximum(depth - 0.26, 0)
    white = _step((depth - 0.13) * 16) * _step((from_sulcus - 0.42) * 5)
    sulci = _step((0.15 - from_sulcus) * 6) * np.float32(0.9)
    if display != X:
        fissure = _step((0.014 - np.abs(grid.x)) * 70) * _step((np.abs(grid.y) - 0.30 * scale) * 12)
        sulci = np.maximum(sulci, fissure * np.float32(0.9))
    return _Anatomy(depth, white, sulci, _ventricles(grid, display, scale * waves.ventricles))


def _ventricles(grid: _Grid, display: int, size: float) -> Field:
    if display == X:
        arc = np.sqrt(grid.distance2(0.03, 0.13) * np.float32(0.75))
        shape = (0.05 * size - np.abs(arc - np.float32(0.24))) * _step((0.02 - grid.y) * 20)
        return _step(shape * 45 - 0.5)
    if display == Y:
        left = grid.ellipse(-0.10 * size, -0.05, 0.09 * size, 0.06 * size)
        right = grid.ellipse(0.10 * size, -0.05, 0.09 * size, 0.06 * size)
        return _step(np.maximum(np.maximum(left, right), grid.ellipse(0, 0.12, 0.02, 0.1)) * 4)
    horns = [
        grid.ellipse(side * 0.10 * size, y, 0.045 * size, 0.13 * size)
        for side in (-1, 1)
        for y in (-0.17, 0.24)
    ]
    return _step(functools.reduce(np.maximum, horns) * 4)


def _step(field: npt.NDArray[np.floating]) -> Field:
    """Step softly: 0 below -0.5, 1 above 0.5, straight between."""
    stepped: Field = np.clip(field + np.float32(0.5), 0, 1).astype(np.float32, copy=False)
    return stepped


def _edge(inside: Bools) -> Bools:
    """Find the voxels of a shape that touch its outside."""
    core = inside.copy()
    core[1:] &= inside[:-1]
    core[:-1] &= inside[1:]
    core[:, 1:] &= inside[:, :-1]
    core[:, :-1] &= inside[:, 1:]
    return inside & ~core


def _grey_rgb(brightness: Field) -> Colours:
    grey = np.clip(brightness * 255, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _tint(colours: Colours, where: Bools, tint: tuple[int, int, int], strength: float) -> None:
    """Lay a translucent colour over part of a picture."""
    under = colours[where].astype(np.float32)
    colours[where] = under + (np.array(tint, dtype=np.float32) - under) * np.float32(strength)


def _anisotropy(grid: _Grid, anatomy: _Anatomy, kept: Field, grain: Field) -> Colours:
    """One frame of a directional map: red left-right, green front-back, blue up-down fibres."""
    strength = anatomy.white * _step(anatomy.depth * 30) * (1 - anatomy.ventricles)
    strength = np.clip(strength * (np.float32(0.8) + grain), 0, 1) * kept
    red = np.exp(-((grid.x / 0.2) ** 2)) + 0.25 * anatomy.sulci
    blue = np.exp(-(((np.abs(grid.x) - 0.26) / 0.1) ** 2)) * np.exp(-((grid.y / 0.45) ** 2))
    green = 1 - np.maximum(red, blue) * 0.8
    levels = [
        np.clip(strength * part * _CUBE, 0, _CUBE - 1).astype(np.uint8)
        for part in np.broadcast_arrays(red, green, blue)
    ]
    colours: Colours = levels[0] * _CUBE**2 + levels[1] * _CUBE + levels[2]
    white = _CUBE**3 - 1
    colours[:2] = colours[-2:] = white
    colours[:, :2] = colours[:, -2:] = white
    return colours


@functools.cache
def _tissue_palette() -> list[int]:
    greys = [level for i in range(_TISSUE_COLOURS) for level in [round(i * 255 / 249)] * 3]
    return [*greys, 40, 150, 60, 255, 255, 255, 0, 0, 0]


@functools.cache
def _cube_palette() -> list[int]:
    levels = [round(i * 255 / (_CUBE - 1)) for i in range(_CUBE)]
    return [part for r in levels for g in levels for b in levels for part in (r, g, b)]


def _text_height(height: int) -> int:
    return max(8, height // 34)


@functools.lru_cache(maxsize=256)
def _text(text: str, height: int) -> "PillowImage.Image":
    """Cut a text as a stencil; drawing letters anew for each picture would take longest of all."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=height)
    _, _, right, bottom = font.getbbox(text)
    stencil = Image.new("1", (int(right) + 1, int(bottom) + 1), 0)
    ImageDraw.Draw(stencil).text((0, 0), text, fill=1, font=font)
    return stencil


def _write(
    picture: "PillowImage.Image",
    at: tuple[int, int],
    text: str,
    colour: int | tuple[int, int, int],
) -> None:
    stencil = _text(text, _text_height(picture.height))
    picture.paste(colour, (*at, at[0] + stencil.width, at[1] + stencil.height), stencil)


def _banner(picture: "PillowImage.Image", text: str) -> None:
    """Black on white in the corner, as the two frames are told apart."""
    stencil = _text(text, _text_height(picture.height))
    picture.paste(_WHITE, (0, 0, stencil.width + 6, stencil.height + 6))
    _write(picture, (3, 3), text, _BLACK)


def _gif(frames: "list[PillowImage.Image]", *, duration: int) -> bytes:
    file = io.BytesIO()
    frames[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=duration,
        loop=0,
        optimize=False,
    )
    return file.getvalue()
