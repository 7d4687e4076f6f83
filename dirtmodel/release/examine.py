"""A release checked as a load would check it, without a database."""

from typing import NamedTuple

from dirtmodel.release.extension import Extension
from dirtmodel.release.findings import Finding
from dirtmodel.release.reader import InvalidReleaseError, Progress, Reader
from dirtmodel.release.sources import Place, opened


class Examined(NamedTuple):
    """What was found in a release, and what a database needs to hold it."""

    name: str
    findings: list[Finding]
    extension: Extension


def check(
    release: Place, progress: Progress | None = None, *, extend: bool = False
) -> list[Finding]:
    """Check a release as a load would, pictures included, and return all findings.

    Parameters
    ----------
    release, extend
        As in `load`.
    progress
        Called after each batch with its table, rows and bytes of pictures.

    Raises
    ------
    ReleaseError
        If there is no release.
    """
    return examine(release, progress, extend=extend).findings


def examine(release: Place, progress: Progress | None = None, *, extend: bool = False) -> Examined:
    """Check a release as `check` does, and return what a database needs to hold it, too."""
    with opened(release) as source:
        try:
            reader = Reader(source, extend=extend)
            for batch in reader.batches(pictures=True):
                if progress is not None:
                    progress(batch.table, len(batch), batch.n_bytes)
        except InvalidReleaseError as error:
            return Examined(source.name, error.findings, Extension())
        return Examined(source.name, reader.findings.report(), reader.extension)
