"""Converting batches of Arrow columns to rows of the tables, the same for both engines."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dirtmodel.loading.refresh import target_row
from dirtmodel.loading.writer import Rows, Writer
from dirtmodel.models import Base
from dirtmodel.release import Batch, Column, Pictures, Rejected
from dirtmodel.release.blobs import Described

Targets = dict[tuple[int, str], int]
"""The id of each target, by (step, file1)."""


def number_targets(batches: Iterator[Batch]) -> Targets:
    """Number the targets of a release in the order of (step, file1)."""
    keys: set[tuple[int, str]] = set()
    for batch in batches:
        if batch.table == "image":
            keys.update(target_keys(batch))
    return {key: number for number, key in enumerate(sorted(keys), 1)}


def of_batch(writer: Writer, batch: Batch, layout: Sequence[Column]) -> Rows:
    """Return the rows of a mirrored table."""
    types = {column.name: column.sql_type for column in layout}
    types = {name: types[name] for name in batch.columns}
    values = [writer.values(array, types[name]) for name, array in batch.columns.items()]
    if batch.pictures is not None:
        types["img"] = Base.metadata.tables["image"].c.img.type
        values.append(batch.pictures.img)
    return Rows(batch.table, types, zip(*values, strict=True))


def of_pictures(batch: Batch, pictures: Pictures, targets: Targets) -> Rows:
    """Return the rows of `picture` for a batch of images."""
    rows = zip(
        batch.columns["id"].to_pylist(),
        (targets[key] for key in target_keys(batch)),
        pictures.described,
        strict=True,
    )
    names = ("img_id", "target_id", *Described._fields)
    return _rows("picture", names, ((id_, target, *described) for id_, target, described in rows))


def of_targets(targets: Targets) -> Rows:
    """Return the rows of `target`; there is at least one."""
    rows = [{"id": id_, **target_row(*key)} for key, id_ in sorted(targets.items())]
    return _rows("target", rows[0], (tuple(row.values()) for row in rows))


def of_rejected(rejected: Iterable[Rejected]) -> Rows:
    """Return the rows of `quarantine`."""
    names = ("table", "file_row", "id", "code", "reason", "row")
    return _rows(
        "quarantine",
        names,
        (
            (row.table, row.file_row, row.id, row.code, row.reason, json.dumps(row.row))
            for row in rejected
        ),
    )


def _rows(table: str, names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> Rows:
    columns = Base.metadata.tables[table].c
    return Rows(table, {name: columns[name].type for name in names}, rows)


def target_keys(batch: Batch) -> Iterator[tuple[int, str]]:
    """Yield the (step, file1) of each row of a batch of images."""
    return zip(batch.columns["step"].to_pylist(), batch.columns["file1"].to_pylist(), strict=True)
