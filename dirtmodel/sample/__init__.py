"""A synthetic release in the documented layout: for the demo, the tests and the benchmarks.

The pictures look like DIRT's and show no real person. Raters of differing strictness judge one true
quality per image, and click where a bad picture visibly goes wrong. Every hazard of a real
release is in it (`HAZARDS`), unless switched off.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     release = write_release(Path(folder), subjects=1, slices=1, pictures="tiny")
...     sorted(file.name for file in release.rglob("*.parquet"))
['coordinate.parquet', 'image.parquet', 'rating.parquet', 'session.parquet']
"""

from pathlib import Path
from typing import Any

from dirtmodel.sample.recipe import HAZARDS, Recipe
from dirtmodel.sample.tables import LogicalRelease
from dirtmodel.sample.writing import Style, physical_schema, write_batches, write_tables

__all__ = ["HAZARDS", "Recipe", "Style", "make_tables", "write_release", "write_tables"]


def make_tables(**options: Any) -> dict[str, Any]:
    """Make the four logical tables, to look at or to alter before `write_tables`.

    Returns pyarrow tables by name, columns in the documented order, in canonical types: int64,
    double, bool, large_string, large_binary and timestamp[us, UTC]. All pictures are in memory.

    Parameters
    ----------
    options
        The fields of `Recipe`.
    """
    import pyarrow as pa

    made = LogicalRelease(Recipe(**options))
    return {
        "session": made.session,
        "image": pa.Table.from_batches(made.image_batches(), made.image.schema),
        "rating": made.rating,
        "coordinate": made.coordinate,
    }


def write_release(folder: Path, *, style: Style = "polars", **options: Any) -> Path:
    """Make a release below `folder`, which is returned, without holding its pictures in memory.

    Equal options give equal rows whatever the style, and the same rows as `make_tables`.

    Parameters
    ----------
    folder
        Receives `pre-surgery/mris/derivatives/qc/*.parquet`.
    style
        Whose writer to imitate. "polars", as published: one row group, large types, zstd, three
        empty rows at the end of each file. "duckdb": several row groups, int32, naive
        timestamps. "pandas": small row groups, int32, doubles for integers with NULLs,
        nanoseconds, pandas' metadata.
    options
        The fields of `Recipe`.
    """
    made = LogicalRelease(Recipe(**options))
    narrow = {"session": made.session, "rating": made.rating, "coordinate": made.coordinate}
    write_tables(narrow, folder, style=style)
    schema = physical_schema(made.image, style)
    write_batches(made.image_batches(), schema, folder, "image", style=style)
    return folder
