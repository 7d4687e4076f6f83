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
"""Rows that are sorted together: some tens of megabytes."""


def in_runs(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the rows of each table in sorted runs; large batches with pictures pass as they are."""
    run: list[Batch] = []
    for batch in batches:
        if run and (batch.table != run[0].table or sum(map(len, run)) >= RUN_ROWS):
            yield from _sorted(run)
            run = []
        if batch.pictures is None:
            run.append(batch)
        else:
            yield batch
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
