"""A release checked as a load would check it, without a database."""

from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

from dirtmodel.errors import PictureError
from dirtmodel.release.extension import Extension
from dirtmodel.release.findings import N_EXAMPLES, Finding
from dirtmodel.release.reader import Batch, Progress, Reader
from dirtmodel.release.sources import Place, opened
from dirtmodel.release.tables import InvalidReleaseError


class Examined(NamedTuple):
    """What was found in a release, and what a database needs to hold it."""

    name: str
    findings: list[Finding]
    extension: Extension


def check(
    release: Place,
    progress: Progress | None = None,
    *,
    extend: bool = False,
    decode: bool = False,
    n_examples: int = N_EXAMPLES,
) -> list[Finding]:
    """Check a release as a load would, pictures included, and return all findings.

    A load walks through the structure of each picture and hashes it. Whether its pixels are
    complete is known only when they are decoded.

    Parameters
    ----------
    release, extend
        As in `load`.
    progress
        Called after each batch with its table, rows and bytes of pictures.
    decode
        Decode all pictures, on all processors.
    n_examples
        Examples of each kind of finding.

    Raises
    ------
    ReleaseError
        If there is no release.
    """
    return examine(release, progress, extend=extend, decode=decode, n_examples=n_examples).findings


def examine(
    release: Place,
    progress: Progress | None = None,
    *,
    extend: bool = False,
    decode: bool = False,
    n_examples: int = N_EXAMPLES,
) -> Examined:
    """Check a release as `check` does, and return what a database needs to hold it, too."""
    with opened(release) as source:
        try:
            reader = Reader(source, extend=extend, n_examples=n_examples)
            for batch in reader.batches(pictures=True):
                if decode:
                    damaged = list(_undecodable(batch))
                    reader.findings.add("bad-picture", source.file("image"), len(damaged), damaged)
                if progress is not None:
                    progress(batch.table, len(batch), batch.n_bytes)
        except InvalidReleaseError as error:
            return Examined(source.name, error.findings, Extension())
        return Examined(source.name, reader.findings.report(), reader.extension)


def _undecodable(batch: Batch) -> Iterator[str]:
    """Describe the pictures of a batch that cannot be decoded."""
    if batch.pictures is None:
        return
    # Pillow does not hold the GIL while it decodes.
    with futures.ThreadPoolExecutor() as decoders:
        problems = decoders.map(_problem, batch.pictures.img)
        for img_id, problem in zip(batch.columns["id"].to_pylist(), problems, strict=True):
            if problem is not None:
                yield f"image {img_id}: the picture is {problem}"


def _problem(img: memoryview) -> str | None:
    from dirtmodel.draw import decode

    try:
        decode.verify(img)
    except PictureError as error:
        return str(error)
    return None
