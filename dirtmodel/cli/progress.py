"""Progress bars on stderr."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from dirtmodel.cli import terminal


@contextlib.contextmanager
def of_release(
    label: str, release: str, *, quiet: bool
) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show a progress bar of the bytes of pictures, if stderr is a terminal."""
    from dirtmodel.release import opened

    stderr = terminal.unprotected(sys.stderr)
    if quiet or not stderr.isatty():
        yield None
        return
    with opened(release) as source:
        total = max(source.n_bytes, 1)
    with click.progressbar(
        length=total, label=label, file=stderr, item_show_func=_rate, update_min_steps=1 << 20
    ) as bar:

        def advance(_table: str, _n_rows: int, n_bytes: int) -> None:
            bar.update(n_bytes, bar)

        yield advance
        bar.update(total - bar.pos, bar)


@contextlib.contextmanager
def of_images(label: str, n_images: int, *, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar of the number of images, if stderr is a terminal."""
    stderr = terminal.unprotected(sys.stderr)
    if quiet or not stderr.isatty():
        yield None
        return
    with click.progressbar(length=n_images, label=label, file=stderr) as bar:
        yield bar.update


def _rate(bar: Any) -> str | None:
    if bar is None or not bar.time_per_iteration:
        return None
    return f"{1 / bar.time_per_iteration / 1e6:.0f} MB/s"
