"""Sorting the rows of a file into long runs of ascending ids.

A table is a tree sorted by id. Rows in order are appended to it. Rows in random order are spread
over all its pages, which takes ten times as long once the table is larger than the cache.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from dirtmodel.release import Batch
from dirtmodel.release.conversion import integers
from dirtmodel.release.memory import NARROW_ROWS

RUN_ROWS: Final = 512 * 1024
RUN_BYTES: Final = 64 << 20
"""Approximate maximum of the rows, and of their bytes, that are sorted together."""

LARGE_BYTES: Final = 4 << 20
"""Bytes from which on a batch is not sorted, because the order of large rows matters little."""


def in_runs(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the rows of each table in sorted runs; batches of large rows are left unchanged."""
    run: list[Batch] = []
    n_rows = n_bytes = 0
    for batch in batches:
        if run and (batch.table != run[0].table or n_rows >= RUN_ROWS or n_bytes >= RUN_BYTES):
            yield from _sorted(run)
            run = []
            n_rows = n_bytes = 0
        size = sum(array.nbytes for array in batch.columns.values())
        if batch.pictures is not None or size >= LARGE_BYTES:
            yield batch
        else:
            run.append(batch)
            n_rows += len(batch)
            n_bytes += size
    if run:
        yield from _sorted(run)


def _sorted(run: list[Batch]) -> Iterator[Batch]:
    import pyarrow as pa

    columns = {
        name: pa.concat_arrays([batch.columns[name] for batch in run]) for name in run[0].columns
    }
    order = np.argsort(integers(columns["id"]), kind="stable")
    rejected = [row for batch in run for row in batch.rejected]
    # At least one batch, which may have rejected rows only.
    for start in range(0, max(len(order), 1), NARROW_ROWS):
        indices = pa.array(order[start : start + NARROW_ROWS])
        yield replace(
            run[0],
            columns={name: array.take(indices) for name, array in columns.items()},
            rejected=rejected,
        )
        rejected = []
