"""Names, cuts and groups of images."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.database.fragments import in_batches
from dirtmodel.entities import cohort
from dirtmodel.errors import UsageError
from dirtmodel.models import DisplayMode, Image, Picture, Step, Target
from dirtmodel.queries.images import Images

GROUPS: Final = ("display", "slice", "scan", "cohort")

_Leading = tuple[int, str, str | None, DisplayMode, int | None, str | None, str | None, str | None]


def describe(session: orm.Session, ids: Iterable[int]) -> Iterator[_Leading]:
    """Yield the first eight columns of rows about images, in the order of the ids."""
    for batch in in_batches(ids):
        by_id = {image.id: image for image in Images(id=batch).run(session)}
        for one in (by_id[img_id] for img_id in batch):
            yield one.id, one.file1, one.file2, one.display, one.slice, one.sub, one.ses, one.scan


def group_labels(
    session: orm.Session, step: Step, images: Iterable[int], group: str
) -> list[str | None]:
    """Return the group of each image of a step.

    Parameters
    ----------
    session
        An open database.
    step
        The step.
    images
        Ids of images of the step.
    group
        `display`, `slice`, `scan`, or `cohort` (see `dirtmodel.entities.cohort`).

    Raises
    ------
    UsageError
        If `group` is none of these; the message lists them.

    """
    if group not in GROUPS:
        raise UsageError(f"{group!r} is not a group; choose one of {', '.join(GROUPS)}")
    of_image: dict[str, Any] = {"display": Image.display, "slice": Image.slice}
    of_target: dict[str, Any] = {"scan": Target.scan, "cohort": Target.sub}
    statement: sa.Select[*tuple[Any, ...]]
    if group in of_image:
        statement = sa.select(Image.id, of_image[group]).where(Image.step == step)
    else:
        statement = (
            sa.select(Picture.img_id, of_target[group])
            .join_from(Picture, Target, Target.id == Picture.target_id)
            .where(Target.step == step)
        )
    labels: dict[int, Any] = dict(session.execute(statement).all())
    return [_label(labels.get(int(image)), group) for image in images]


def _label(value: Any, group: str) -> str | None:
    if value is None:
        return None
    if group == "cohort":
        return cohort(value)
    return str(getattr(value, "name", value))
