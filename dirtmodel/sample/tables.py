"""The four logical tables, in canonical types and the documented order of columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from dirtmodel.sample.brains import make_painter
from dirtmodel.sample.images import NO_SLICE, Images, Ints, make_images, row_order
from dirtmodel.sample.recipe import Recipe
from dirtmodel.sample.reviews import (
    Sessions,
    coordinate_columns,
    make_reviews,
    note_texts,
    rater_names,
    rating_columns,
)

_PICTURES_PER_BATCH = 256


class LogicalRelease:
    """The tables of a release before it is written; pictures are drawn on demand.

    Parameters
    ----------
    recipe
        The description of the release.

    Attributes
    ----------
    session, rating, coordinate
        The complete pyarrow tables.
    image
        The image table with NULL instead of pictures.
    """

    def __init__(self, recipe: Recipe) -> None:
        layout, judging, rows = (
            np.random.default_rng([recipe.seed, part]) for part in (1_000_001, 1_000_002, 1_000_003)
        )
        images = make_images(recipe, layout)
        sessions, reviews = make_reviews(images, recipe, judging)
        rating = rating_columns(reviews, images, sessions, recipe, judging)
        coordinate = coordinate_columns(reviews, images, sessions, recipe, judging)
        texts = note_texts(recipe)

        self._paint = make_painter(images, recipe)
        self._order = row_order(len(images), recipe, rows)
        self.image = _image_table(images).take(self._order)
        self.session = _shuffled(_session_table(sessions, recipe), recipe, rows)
        self.rating = _shuffled(_review_table(rating, texts), recipe, rows)
        self.coordinate = _shuffled(_review_table(coordinate, texts), recipe, rows)

    def image_batches(self) -> Iterator[Any]:
        """Yield record batches of the image table with its pictures, a few megabytes each."""
        import pyarrow as pa

        at = self.image.column_names.index("img")
        for start in range(0, len(self._order), _PICTURES_PER_BATCH):
            rows = self._order[start : start + _PICTURES_PER_BATCH]
            pictures = pa.array([self._paint(int(row)) for row in rows], pa.large_binary())
            part = self.image.slice(start, len(rows)).set_column(at, "img", pictures)
            yield from part.combine_chunks().to_batches()


def _moments(microseconds: Ints) -> Any:
    import pyarrow as pa

    return pa.array(microseconds, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _chosen(texts: list[str | None], which: Ints) -> Any:
    """Return the texts at these positions; NULL for negative positions."""
    import pyarrow as pa

    return pa.array(texts, pa.large_string()).take(pa.array(which, mask=which < 0))


def _session_table(sessions: Sessions, recipe: Recipe) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "id": sessions.id,
            "step": sessions.step,
            "user": _chosen([*rater_names(recipe.raters)], sessions.rater),
            "created": _moments(sessions.created),
        }
    )


def _image_table(images: Images) -> Any:
    import pyarrow as pa

    n = len(images)
    return pa.table(
        {
            "id": images.id,
            "img": pa.nulls(n, pa.large_binary()),
            "slice": pa.array(images.slice, mask=images.slice == NO_SLICE),
            "file1": _chosen([t.file1 for t in images.targets], images.target),
            "file2": _chosen([t.file2 for t in images.targets], images.target),
            "display": images.display,
            "step": images.step,
            "created": _moments(images.created),
        }
    )


def _review_table(columns: dict[str, Any], texts: list[str]) -> Any:
    import pyarrow as pa

    ready = dict(columns)
    ready["notes"] = _chosen([*texts], columns["notes"])
    ready["created"] = _moments(columns["created"])
    for axis in {"x", "y"} & set(columns):
        ready[axis] = pa.array(columns[axis], mask=np.isnan(columns[axis]))
    return pa.table(ready)


def _shuffled(table: Any, recipe: Recipe, rng: np.random.Generator) -> Any:
    return table.take(row_order(len(table), recipe, rng)).combine_chunks()
