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
_LONGEST_VALUE: Final = 32


def extract(
    db: Database,
    images: Wanted,
    folder: str | os.PathLike[str],
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write pictures as they were loaded into a folder, and return their paths.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    images
        `Images(...)`; or images themselves: of the ORM, rows of `Images`, or ids.
    folder
        Created if it does not exist. Nothing is ever written outside of it.
    replace
        Whether existing files are replaced.
    progress
        Called with 1 after every picture.

    Raises
    ------
    UsageError
        There is no such image.
    OutputError
        A file exists already (then nothing is written); or one cannot be written (the message says
        how many have been).
    PictureError
        Some pictures are not the bytes that were loaded; the others have been written.
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
    """Name the file of a picture by what is known of it; no two images share a name.

    Names hold letters, digits, `-`, `_` and the suffix's dot only, and are never long, whatever
    stands in the database: they are safe on every system.
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
    named = [
        f"{key}-{_UNSAFE.sub('', str(value))[:_LONGEST_VALUE]}"
        for key, value in parts.items()
        if value is not None
    ]
    return "_".join(named) + (".gif" if image.format == "GIF" else ".png")


def _damaged(ids: list[int], *, n_written: int) -> str:
    more = f" (and {len(ids) - 1:,} more)" if ids[1:] else ""
    return (
        f"image {ids[0]}{more}: the picture is not what was loaded (its SHA-256 differs); load "
        "the release again with: dirtmodel load RELEASE --replace. "
        f"The other {n_written:,} have been written"
    )
