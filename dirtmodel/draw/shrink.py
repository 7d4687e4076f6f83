"""Pictures made smaller, in which thin coloured lines stay visible."""

from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from dirtmodel.draw import text

_COLOURED: Final = [255 * (difference >= 24) for difference in range(256)]  # noqa: PLR2004 - of 255
"""A pixel counts as coloured, not grey, where its channels differ enough."""
_NEIGHBOURHOOD: Final = ImageFilter.BoxBlur(6)
_THIN: Final = [255 * (level < 84) for level in range(256)]  # noqa: PLR2004 - a third of 255
"""In the neighbourhood of a line, less than a third is coloured; in that of an area, more."""
_BRIGHT: Final = 220


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an RGBA image at a smaller size as RGB; transparent pixels show paper.

    The contours that reviewers judge are translucent lines, one or two pixels wide. Reduced by
    averaging they turn into the grey of what they surround; here they keep their width in pixels,
    and their hue is drawn opaque.
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
    # Which part of each small pixel is line, and the mean hue of that part.
    part = np.asarray(_resized(lines, size))[..., np.newaxis] / np.float32(255)
    hue = np.asarray(_resized(Image.fromarray(hues), size)) / np.maximum(part, 1 / 255)
    strength = np.minimum(part / scale, 1)
    mixed = np.asarray(small) * (1 - strength) + np.minimum(hue, _BRIGHT) * strength
    return Image.fromarray(mixed.round().astype(np.uint8))


def _thin_lines(image: Image.Image) -> Image.Image | None:
    """Find the pixels of thin coloured lines (255, others 0); None where most colours are areas."""
    red, green, blue = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    coloured = ImageChops.subtract(brightest, darkest).point(_COLOURED)
    if coloured.getbbox() is None:
        return None
    thin = ImageChops.darker(coloured, coloured.filter(_NEIGHBOURHOOD).point(_THIN))
    # The thin parts of a map of colours, such as DTIFIT's, are not lines.
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
