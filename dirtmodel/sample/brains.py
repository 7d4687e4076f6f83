"""Draw pictures like DIRT's, of synthetic brains: ellipses that are folded by smooth noise.

A picture depends only on the recipe and its image. Pictures can therefore be drawn in any order,
and always have the same bytes.

Coordinates are in half picture heights from the centre, x right and y down, as in `Images.fault`.
"""

import functools
import io
import struct
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dirtmodel.draw import encode
from dirtmodel.sample.images import HALF_AXES, Images, shrinkage
from dirtmodel.sample.recipe import DTIFIT, FMAP, MASK, NORMALIZATION, Recipe

Field = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Colours = npt.NDArray[np.uint8]

X, Y, Z = range(3)
_PNG_HEADER_BYTES: Final = 33
_DTIFIT_SIZE: Final = (332 / 480, 389 / 480)
_VOXELS: Final = {FMAP: 80, DTIFIT: 83}
"""Columns of the voxel grid (160 for other steps); DIRT draws voxels of 2 to 3 mm as squares."""
_LOBES: Final = (
    ((-0.40, 0.46, 0.32, 0.24), (-0.06, 0.56, 0.12, 0.36)),
    ((-0.34, 0.36, 0.29, 0.28), (0.34, 0.36, 0.29, 0.28), (0.0, 0.55, 0.15, 0.30)),
    (),
)
"""Ellipses that bulge out of the main one, per display: centre x, y, half width, half height."""
_COARSE: Final = (18, 24)
"""Rows and columns of the noise that folds a brain."""
_N_LEVELS: Final = 6
"""Levels per channel of a directional map; its colours then fit into a GIF."""
_GREEN, _BLUE, _RED = (40, 150, 60), (40, 50, 230), (200, 30, 30)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_VISIBLE: Final = 0.3
"""The severity from which a fault is visible."""


def make_painter(images: Images, recipe: Recipe) -> Callable[[int], bytes]:
    """Return the function that encodes the picture of the image at a position."""
    if recipe.pictures == "drawn":
        return lambda at: _Drawing(images, recipe, at).encoded()
    png = encode.png(Image.new("1", recipe.picture_size))
    if recipe.pictures == "noise":
        return lambda at: _with_noise(png, recipe, at)
    first = Image.new("L", recipe.picture_size)
    second = first.copy()
    second.putpixel((0, 0), 255)
    gif = _gif([first, second], duration=300)
    return lambda at: gif if images.step[at] in {FMAP, DTIFIT} else png


def _with_noise(png: bytes, recipe: Recipe, at: int) -> bytes:
    """Add incompressible bytes to a black PNG, in a chunk that viewers ignore."""
    n_bytes = max(recipe.picture_bytes - len(png) - 12, 8)
    body = b"noIs" + np.random.default_rng([recipe.seed, at]).bytes(n_bytes)
    chunk = struct.pack(">I", n_bytes) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_PNG_HEADER_BYTES] + chunk + png[_PNG_HEADER_BYTES:]


class _Brain(NamedTuple):
    """One slice through a brain; each field has one number per voxel.

    `depth` is 0 on the surface and 1 in the centre; `white` and `fluid` are from 0 to 1.
    """

    depth: Field
    white: Field
    fluid: Field

    def brightness(self, white: float, grey: float, fluid: float) -> Field:
        tissue = grey + (white - grey) * self.white
        return _step(self.depth * 30) * (tissue + (fluid - tissue) * self.fluid)


class _Drawing(NamedTuple):
    """The picture of the image at position `at` of `images`."""

    images: Images
    recipe: Recipe
    at: int

    def encoded(self) -> bytes:
        """Draw the picture and encode it in the format of DIRT."""
        step = int(self.images.step[self.at])
        size = self.recipe.picture_size
        if step == DTIFIT:
            size = round(size[1] * _DTIFIT_SIZE[0]), round(size[1] * _DTIFIT_SIZE[1])
        columns = min(_VOXELS.get(step, 160), size[0])
        rows = min(round(columns * size[1] / size[0]), size[1])
        x = ((np.arange(columns) + 0.5) / columns * 2 - 1) * size[0] / size[1]
        y = (np.arange(rows) + 0.5) / rows * 2 - 1
        grid = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        if step == DTIFIT:
            return _gif([_enlarged(_paletted(c), size) for c in self._fibres(*grid)], duration=200)
        if step == FMAP:
            frames = [_enlarged(_paletted(c), size) for c in self._coregistration(*grid)]
            for frame, label in zip(frames, ("func/boldref", "fmap/epi"), strict=True):
                self._label(frame)
                _write(frame, (3, 3), label, _BLACK, background=_WHITE)
            return _gif(frames, duration=300)
        picture = _enlarged(Image.fromarray(self._overlaid(step, *grid)), size)
        self._label(picture)
        return encode.png(picture.convert("RGBA"))

    def _overlaid(self, step: int, x: Field, y: Field) -> Colours:
        """Draw a brain with its mask, the outline of the template, or its surfaces."""
        fault = self._side * self._fault(x, y)
        brain = self._brain(x, y, warp=0.5 * fault if step == NORMALIZATION else 0)
        grey = brain.brightness(0.78, 0.5, 0.12) + self._grain(x.shape, 0.04)
        skull = _step((0.035 - np.abs(brain.depth + 0.17)) * 60) * np.float32(0.38)
        colours = _grey(grey + skull if step == MASK else grey)
        if step == MASK:
            mask = brain.depth + 0.03 + 0.55 * fault > 0
            _tint(colours, mask, (70, 210, 70), 0.4)
            colours[_edge(mask)] = 170
        elif step == NORMALIZATION:
            template = self._brain(x, y, subject=-1)
            outline = np.abs(template.depth + 0.02) < 0.035  # noqa: PLR2004 - its half width
            _tint(colours, outline | (template.fluid > 0.9), (0, 0, 190), 0.7)  # noqa: PLR2004
        else:
            colours[_edge(brain.white + 0.9 * fault > 0.5)] = _BLUE  # noqa: PLR2004 - half
            colours[_edge(brain.depth + 0.5 * fault > 0)] = _RED
        return colours

    def _coregistration(self, x: Field, y: Field) -> list[Colours]:
        """Draw the functional scan and the fieldmap, both with the outline of the scan."""
        still = self._brain(x, y)
        moved = self._brain(x, y, warp=self._side * 0.55 * self._fault(x, y))
        frames = []
        for brain in (still, moved):
            bright = brain.brightness(0.5, 0.68, 0.98)
            frames.append(_grey(bright + self._grain(x.shape, 0.12) * (bright > 0)))
            frames[-1][_edge(still.depth > 0)] = _GREEN
        return frames

    def _fibres(self, x: Field, y: Field) -> list[Colours]:
        """Draw slices of a directional map (red: left-right, green: front-back, blue: up-down)."""
        kept = 1 - np.minimum(1.3 * self._fault(x, y), 1)
        red = np.exp(-((x / 0.2) ** 2))
        blue = np.exp(-(((np.abs(x) - 0.26) / 0.1) ** 2) - (y / 0.45) ** 2)
        channels = np.stack([red, 1 - 0.8 * np.maximum(red, blue), blue], axis=-1)
        frames = []
        for number in range(self.recipe.frames):
            brain = self._brain(x, y, number=number, n_slices=self.recipe.frames)
            strength = brain.white * _step(brain.depth * 30) * (1 - brain.fluid) * kept
            strength *= 0.8 + self._grain(x.shape, 0.5, number)
            levels = np.clip(strength[..., np.newaxis] * channels * _N_LEVELS, 0, _N_LEVELS - 1)
            colours = levels.astype(np.uint8) * np.uint8(255 // (_N_LEVELS - 1))
            colours[:2] = colours[-2:] = 255
            colours[:, :2] = colours[:, -2:] = 255
            frames.append(colours)
        return frames

    def _brain(
        self,
        x: Field,
        y: Field,
        *,
        warp: Field | float = 0.0,
        subject: int | None = None,
        number: int | None = None,
        n_slices: int | None = None,
    ) -> _Brain:
        """Return a slice of a brain; positive values of `warp` move its surface outward."""
        target = self.images.targets[int(self.images.target[self.at])]
        display = int(self.images.display[self.at])
        number = int(self.images.slice[self.at]) if number is None else number
        n_slices = n_slices or target.n_slices
        scale = float(shrinkage(number, n_slices))
        folds = _folds(
            (self.recipe.seed, (target.subject if subject is None else subject) + 1, display),
            x.shape,
            (number + 0.5) / n_slices,
        )
        across, down = HALF_AXES[display]
        depth = 1 - np.hypot(x / across, y / down) / scale
        for right, below, half_width, half_height in _LOBES[display]:
            lobe = np.hypot((x / scale - right) / half_width, (y / scale - below) / half_height)
            depth = np.maximum(depth, 0.6 * (1 - lobe))
        depth = depth + 0.02 * folds + warp
        # A sulcus is where the noise changes sign. Like the surface, it is lined by grey matter.
        from_sulcus = np.abs(folds) + 3 * np.maximum(depth - 0.26, 0)
        white = _step((depth - 0.13) * 16) * _step((from_sulcus - 0.42) * 5)
        fluid = np.maximum(_step((0.15 - from_sulcus) * 6) * 0.9, _ventricles(x, y, display))
        if display != X:
            fissure = _step((0.014 - np.abs(x)) * 70) * _step((np.abs(y) - 0.3 * scale) * 12)
            fluid = np.maximum(fluid, fissure * 0.9)
        return _Brain(depth, white, fluid)

    @property
    def _side(self) -> int:
        """1 if the fault of this target bulges outward, -1 if it goes inward."""
        return 1 if int(self.images.target[self.at]) % 3 else -1

    def _fault(self, x: Field, y: Field) -> Field:
        """Return a bump at the fault, as high as its severity; it is hardly visible if small."""
        severity = float(self.images.severity[self.at])
        right, down = self.images.fault[self.at]
        bump: Field = np.exp(-((x - right) ** 2 + (y - down) ** 2) / (2 * 0.16**2))
        return bump * (severity if severity > _VISIBLE else severity / 6)

    def _grain(self, shape: tuple[int, ...], strength: float, number: int = 0) -> Field:
        rng = np.random.default_rng([self.recipe.seed, self.at, number])
        grain: Field = rng.random(shape, dtype=np.float32)
        return (grain - np.float32(0.5)) * np.float32(strength)

    def _label(self, picture: Image.Image) -> None:
        """Write the position of the slice and, if the cut shows both sides, L and R."""
        width, height = picture.size
        margin, display = height // 40, int(self.images.display[self.at])
        n_slices = self.images.targets[int(self.images.target[self.at])].n_slices
        position = round(140 * ((int(self.images.slice[self.at]) + 0.5) / n_slices - 0.5))
        below = height - margin - _text_height(height)
        _write(picture, (margin, below), f"{'xyz'[display]}={position}", _WHITE)
        if display != X:
            _write(picture, (width // 6, margin), "L", _WHITE)
            _write(picture, (width * 5 // 6, margin), "R", _WHITE)


@functools.lru_cache(maxsize=64)  # all targets of a subject have the same slices
def _folds(seed: tuple[int, int, int], shape: tuple[int, int], position: float) -> Field:
    """Return smooth, symmetric noise with a standard deviation of about 1.

    The position of the slice blends two noises, so that neighbouring slices are similar.
    """
    rng = np.random.default_rng(seed)
    one, other = rng.standard_normal((2, *_COARSE)).astype(np.float32)
    noise = one * np.cos(np.float32(4 * position)) + other * np.sin(np.float32(4 * position))
    if seed[-1] != X:
        middle = _COARSE[1] // 2
        noise[:, :middle] = noise[:, : middle - 1 : -1]
    smooth: Field = np.asarray(
        Image.fromarray(noise).resize(shape[::-1], Image.Resampling.BICUBIC)
    ) * np.float32(1.4)
    return smooth


def _ventricles(x: Field, y: Field, display: int) -> Field:
    if display == X:
        arc = np.hypot(x - 0.03, (y - 0.13) * 0.9)
        return _step((0.05 - np.abs(arc - 0.24)) * 45) * _step((0.02 - y) * 20)
    height, width, middles = (
        (0.13, 0.045, (-0.17, 0.24)) if display == Z else (0.06, 0.09, (-0.05,))
    )
    horns = [np.hypot((np.abs(x) - 0.1) / width, (y - middle) / height) for middle in middles]
    return _step((1 - functools.reduce(np.minimum, horns)) * 4)


def _step(field: Field) -> Field:
    """Return 0 below -0.5, 1 above 0.5, and a linear transition between."""
    stepped: Field = np.clip(field + np.float32(0.5), 0, 1)
    return stepped


def _edge(inside: Bools) -> Bools:
    """Return the voxels of a shape that touch its outside."""
    core = inside.copy()
    core[1:] &= inside[:-1]
    core[:-1] &= inside[1:]
    core[:, 1:] &= inside[:, :-1]
    core[:, :-1] &= inside[:, 1:]
    return inside & ~core


def _grey(brightness: Field) -> Colours:
    """Return greys in steps of 2, so that the palette of a GIF has room for other colours."""
    grey = np.clip(brightness * 255, 0, 255).astype(np.uint8) & 0xFE
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _tint(colours: Colours, where: Bools, tint: tuple[int, int, int], strength: float) -> None:
    """Blend a translucent colour into a part of a picture."""
    under = colours[where].astype(np.float32)
    colours[where] = under + (np.array(tint, dtype=np.float32) - under) * np.float32(strength)


def _paletted(colours: Colours) -> Image.Image:
    """Return an image with a palette; at most 254 colours leave room for those of labels."""
    codes = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    used, places = np.unique(codes, return_inverse=True)
    image = Image.fromarray(places.reshape(codes.shape).astype(np.uint8))
    image.putpalette(b"".join(int(code).to_bytes(3, "big") for code in used))
    return image


def _enlarged(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.resize(size, Image.Resampling.NEAREST)


def _text_height(height: int) -> int:
    return max(8, height // 34)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(
    picture: Image.Image,
    place: tuple[int, int],
    words: str,
    colour: tuple[int, int, int],
    background: tuple[int, int, int] | None = None,
) -> None:
    font = _font(_text_height(picture.height))
    pencil = ImageDraw.Draw(picture)
    pencil.fontmode = "1"  # no greys at the edges of letters
    if background is not None:
        left, top, right, bottom = pencil.textbbox(place, words, font)
        pencil.rectangle((left - 3, top - 3, right + 3, bottom + 3), fill=background)
    pencil.text(place, words, colour, font)


def _gif(frames: list[Image.Image], *, duration: int) -> bytes:
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
