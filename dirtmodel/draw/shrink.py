"""Make pictures smaller while thin coloured lines stay visible."""

from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from dirtmodel.draw import text

_COLOURED: Final = [255 * (difference >= 24) for difference in range(256)]  # noqa: PLR2004 - of 255
"""A pixel counts as coloured, not grey, if its channels differ by at least 24."""
_NEIGHBOURHOOD: Final = ImageFilter.BoxBlur(6)
_THIN: Final = [255 * (level < 84) for level in range(256)]  # noqa: PLR2004 - a third of 255
"""A coloured pixel is part of a thin line if less than a third of its neighbourhood is coloured."""
_BRIGHT: Final = 220
"""The brightest channel of a line that is drawn, of 255."""


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an RGBA image at a smaller size as RGB; transparent pixels become white.

    The contours that reviewers judge are translucent lines, one or two pixels wide. Averaging
    alone would make them as grey as their surroundings. This function keeps their width in pixels
    and draws their hue opaque.
    """
    opaque = _on_paper(image)
    small = _resized(opaque, size)
    scale = size[0] / image.width
    lines = _thin_lines(opaque)
    if scale >= 1 or lines is None:
        return small
    inside = np.asarray(lines) > 0
    colours = np.asarray(opaque)[inside].astype(np.float32)
    colours -= colours.min(axis=1, keepdims=True)
    hues = np.zeros((*inside.shape, 3), np.uint8)
    hues[inside] = colours / colours.max(axis=1, keepdims=True) * _BRIGHT
    # The part of each small pixel that the line covers, and the mean hue of that part.
    part = np.asarray(_resized(lines, size))[..., np.newaxis] / np.float32(255)
    hue = np.asarray(_resized(Image.fromarray(hues), size)) / np.maximum(part, 1 / 255)
    strength = np.minimum(part / scale, 1)
    mixed = np.asarray(small) * (1 - strength) + np.minimum(hue, _BRIGHT) * strength
    return Image.fromarray(mixed.round().astype(np.uint8))


def _thin_lines(image: Image.Image) -> Image.Image | None:
    """Return a mask of thin coloured lines (255); None if most coloured pixels belong to areas."""
    red, green, blue = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    coloured = ImageChops.subtract(brightest, darkest).point(_COLOURED)
    if coloured.getbbox() is None:
        return None
    thin = ImageChops.darker(coloured, coloured.filter(_NEIGHBOURHOOD).point(_THIN))
    # The thin parts of a colour map, such as DTIFIT's, are not lines.
    has_lines = thin.histogram()[255] > coloured.histogram()[255] / 2
    return thin if has_lines else None


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _on_paper(image: Image.Image) -> Image.Image:
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    paper = Image.new("RGB", image.size, text.PAPER)
    paper.paste(image, mask=alpha)
    return paper
