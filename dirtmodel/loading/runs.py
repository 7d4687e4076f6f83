"""Rows in long runs of ascending ids, whatever order their file has.

A table is a tree sorted by id: rows in order are appended to it, rows in none are strewn over all
its pages, which takes ten times as long as soon as it has outgrown its cache.
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
"""Rows that are sorted together, and their bytes, about."""

LARGE_BYTES: Final = 4 << 20
"""A batch of this size is not sorted: its rows are large, and so their order matters little."""


def in_runs(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the rows of each table in sorted runs; those that are large pass as they are."""
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
    # At least one batch, for the sake of the rejected rows.
    for start in range(0, max(len(order), 1), NARROW_ROWS):
        taken = pa.array(order[start : start + NARROW_ROWS])
        yield replace(
            run[0],
            columns={name: array.take(taken) for name, array in columns.items()},
            rejected=rejected,
        )
        rejected = []
