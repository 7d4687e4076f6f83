"""Checking a release in the same way as a load, without a database."""

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
    """The findings about a release, and the additional columns and numbers that it needs."""

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
    """Check a release in the same way as a load, including the pictures, and return all findings.

    A load checks the structure of each picture and hashes it. It does not decode pictures, and
    therefore does not find incomplete pixels; see `decode`.

    Parameters
    ----------
    release, extend
        See `load`.
    progress
        Called after each batch with its table, its number of rows and its bytes of pictures.
    decode
        Decode all pictures, on all processors.
    n_examples
        The maximum number of examples for each kind of finding.

    Raises
    ------
    ReleaseError
        If the release is not found.
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
    """Check a release like `check`, and also return its name and extension."""
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
