"""What images show: their names and places, and the groups that they form."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.entities import cohort
from dirtmodel.errors import UsageError
from dirtmodel.models import DisplayMode, Image, Picture, Step, Target

GROUPS: Final = ("display", "slice", "scan", "cohort")

_IDS_AT_ONCE: Final = 5000


class Described(NamedTuple):
    """An image, and the derivative that it shows."""

    img_id: int
    file1: str
    file2: str | None
    display: DisplayMode
    slice: int | None
    sub: str | None
    ses: str | None
    scan: str | None


def describe(session: orm.Session, ids: Sequence[int]) -> Iterator[Described]:
    """Yield what some images show, in the order of the ids."""
    columns = (Image.id, Image.file1, Image.file2, Image.display, Image.slice)
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        rows = session.execute(
            sa.select(*columns, Target.sub, Target.ses, Target.scan)
            .join_from(Image, Picture, Picture.img_id == Image.id)
            .join(Target, Target.id == Picture.target_id)
            .where(Image.id.in_(some))
        )
        found = {row.id: Described(*row) for row in rows}
        yield from (found[image] for image in some)


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
        Ids of its images.
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
