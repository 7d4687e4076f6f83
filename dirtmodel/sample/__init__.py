"""A synthetic release in the documented layout: for the demo, the tests and the benchmarks.

The pictures look like DIRT's, but do not show real people. Each image has a true quality, which
raters of different strictness judge. They click where a bad picture has its fault. The release
contains every hazard of a real release (`HAZARDS`), unless it is switched off.

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
    """Return the four logical tables, which tests can change before `write_tables`.

    The result has pyarrow tables by name, with columns in the documented order and in canonical
    types: int64, double, bool, large_string, large_binary and timestamp[us, UTC]. All pictures are
    in memory.

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
    """Write a release below `folder` and return `folder`; few pictures are in memory at a time.

    Equal options result in equal rows in every style, and in the rows of `make_tables`.

    Parameters
    ----------
    folder
        The folder in which `pre-surgery/mris/derivatives/qc/*.parquet` is written.
    style
        The library whose files to imitate. "polars", as published: one row group, large types,
        zstd, three empty rows at the end of each file. "duckdb": several row groups, int32, naive
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
