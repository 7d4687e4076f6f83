"""What goes into each table, whichever engine: Arrow columns → tuples."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from dirtmodel.entities import parse, scan
from dirtmodel.loading.writer import Writer
from dirtmodel.release import Batch, Pictures, Rejected

Targets = dict[tuple[int, str], int]
"""(step, file1) → target.id"""

Rows = tuple[list[str], Iterable[tuple[Any, ...]]]
"""Column names, and rows in their order."""


def number_targets(batches: Iterator[Batch]) -> Targets:
    """Number the targets of a release in the order of (step, file1), whatever the rows' order."""
    found: set[tuple[int, str]] = set()
    for batch in batches:
        if batch.table == "image":
            found.update(target_keys(batch))
    return {key: number for number, key in enumerate(sorted(found), 1)}


def of_batch(writer: Writer, batch: Batch) -> Rows:
    """Rows of a mirrored table."""
    columns = []
    for name, array in batch.columns.items():
        match name:
            case "created":
                columns.append(writer.instants(array))
            case _:
                columns.append(array.to_pylist())
    names = list(batch.columns)
    if batch.pictures is not None:
        names.append("img")
        columns.append(batch.pictures.img)
    return names, zip(*columns, strict=True)


def of_pictures(batch: Batch, pictures: Pictures, targets: Targets) -> Rows:
    """Rows of `picture` for a batch of images."""
    names = ["img_id", "target_id", "format", "width", "height", "n_bytes", "sha256"]
    ids = batch.columns["id"].to_pylist()
    target_ids = [targets[key] for key in target_keys(batch)]
    return names, (
        (img_id, target_id, *header, n_bytes, sha256)
        for img_id, target_id, header, n_bytes, sha256 in zip(
            ids, target_ids, pictures.headers, pictures.n_bytes, pictures.sha256, strict=True
        )
    )


def of_targets(targets: Targets) -> Rows:
    """Rows of `target`."""
    names = ["id", "step", "file1", "scan", "sub", "ses", "task", "run", "space", "desc", "suffix"]
    return names, (
        (number, step, file1, scan(step, entities), *entities)
        for (step, file1), number in sorted(targets.items())
        for entities in [parse(file1)]
    )


def of_rejected(rejected: list[Rejected]) -> Rows:
    """Rows of `quarantine`."""
    names = ["table", "file_row", "id", "code", "reason", "row"]
    return names, (
        (row.table, row.file_row, row.id, row.code, row.reason, json.dumps(row.row))
        for row in rejected
    )


def target_keys(batch: Batch) -> Iterator[tuple[int, str]]:
    """Give the (step, file1) of each row of a batch of images."""
    return zip(batch.columns["step"].to_pylist(), batch.columns["file1"].to_pylist(), strict=True)
