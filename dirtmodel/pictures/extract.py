"""The original bytes of pictures as files with descriptive names."""

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from dirtmodel import opening, outputs
from dirtmodel.errors import OutputError, PictureError
from dirtmodel.opening import Database
from dirtmodel.pictures import fetch
from dirtmodel.pictures.fetch import Progress, Wanted
from dirtmodel.queries.images import FoundImage, blobs

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9]")
_MAX_VALUE_LENGTH: Final = 32
"""The most characters of one value in a file name."""


def extract(
    db: Database,
    images: Wanted,
    folder: str | os.PathLike[str],
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the original bytes of pictures to files in a folder, and return their paths.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    images
        A query `Images(...)`, or a list of images: ORM objects, rows of `Images`, or ids.
    folder
        Created if it does not exist. No file is written outside of it.
    replace
        If true, replace existing files.
    progress
        Called with 1 after every picture.

    Raises
    ------
    UsageError
        An image does not exist, or no image matches.
    OutputError
        A file exists already (then no file is written), or a file cannot be written (the message
        states how many have been written).
    PictureError
        Some pictures have changed since they were loaded; the others have been written.
    """
    folder = Path(folder)
    damaged: list[int] = []
    with opening.session_on(db) as session:
        found = fetch.find(session, images)
        paths = {image.id: folder / file_name(image) for image in found}
        outputs.make_folder(folder)
        outputs.refuse_existing(list(paths.values()), replace=replace)
        for n_done, (image, data) in enumerate(blobs(session, found)):
            if hashlib.sha256(data).hexdigest() == image.sha256:
                try:
                    outputs.save(data, paths[image.id], replace=replace)
                except OutputError as error:
                    raise OutputError(
                        f"{error}. {folder} is incomplete: {n_done - len(damaged):,} of "
                        f"{len(found):,} pictures have been written"
                    ) from error
            else:
                damaged.append(image.id)
                del paths[image.id]
            if progress is not None:
                progress(1)
    if damaged:
        raise PictureError(_damaged(damaged, n_written=len(paths)))
    return list(paths.values())


def file_name(image: FoundImage) -> str:
    """Return a file name that describes a picture; it contains the id and is therefore unique.

    File names are short and contain only letters, digits, `-`, `_` and the dot of the suffix,
    whatever the values in the database are. They are valid on every operating system.
    """
    parts = {
        "sub": image.sub,
        "ses": image.ses,
        "task": image.task,
        "run": image.run,
        "step": image.step.name.lower(),
        "display": image.display.name.lower(),
        "slice": image.slice,
        "img": image.id,
    }
    entities = [
        f"{key}-{_UNSAFE.sub('', str(value))[:_MAX_VALUE_LENGTH]}"
        for key, value in parts.items()
        if value is not None
    ]
    return "_".join(entities) + (".gif" if image.format == "GIF" else ".png")


def _damaged(ids: list[int], *, n_written: int) -> str:
    more = f" (and {len(ids) - 1:,} more)" if ids[1:] else ""
    return (
        f"image {ids[0]}{more}: the picture is not what was loaded (its SHA-256 differs); load "
        "the release again with: dirtmodel load RELEASE --replace. "
        f"The other {n_written:,} have been written"
    )
