"""Which scans should be left out of an analysis?"""

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.errors import UsageError
from dirtmodel.models import (
    CLICK_STEPS,
    VERDICT_STEPS,
    Coordinate,
    Picture,
    Rating,
    Ratings,
    Release,
    Step,
    Target,
)
from dirtmodel.queries import reviews
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.results import Rows, Statement


class Rule(enum.StrEnum):
    """How the verdicts on an image make it bad (fieldmap coregistration, diffusion)."""

    ANY_FAIL = "any-fail"
    MAJORITY = "majority"
    UNANIMOUS = "unanimous"
    MIN_FAILS = "min-fails"


class Unsure(enum.StrEnum):
    """What an UNSURE counts as."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    IGNORE = "ignore"


class Level(enum.StrEnum):
    """What is excluded as a whole."""

    TARGET = "target"
    SCAN = "scan"
    SESSION = "session"
    PARTICIPANT = "participant"


class Status(enum.StrEnum):
    """What becomes of it."""

    EXCLUDED = "excluded"
    KEPT = "kept"
    UNREVIEWED = "unreviewed"
    PARTIAL = "partial"


_KEYS: Final[dict[Level, tuple[str, ...]]] = {
    Level.TARGET: ("sub", "ses", "task", "run", "scan", "step", "file1"),
    Level.SCAN: ("sub", "ses", "task", "run", "scan"),
    Level.SESSION: ("sub", "ses"),
    Level.PARTICIPANT: ("sub",),
}


class _Sub(NamedTuple):
    sub: str | None


class _Ses(NamedTuple):
    ses: str | None


class _Scan(NamedTuple):
    task: str | None
    run: int | None
    scan: str | None


class _Target(NamedTuple):
    step: Step
    file1: str


class _Evidence(NamedTuple):
    status: str
    n_images: int
    n_reviewed: int
    n_bad_images: int
    n_raters: int
    n_pass: int
    n_unsure: int
    n_fail: int
    n_clicks: int
    source_data_issue: bool
    image_ids: list[int]
    rule: str
    release: str | None


def _row_type(name: str, *parts: Any) -> Any:
    fields = [field for part in parts for field in part.__annotations__.items()]
    made = NamedTuple(name, fields)  # type: ignore[misc]  # the fields are those of the parts
    made.__module__ = __name__
    return made


_ROW_TYPES: Final[dict[Level, Any]] = {
    Level.TARGET: _row_type("ExcludedTarget", _Sub, _Ses, _Scan, _Target, _Evidence),
    Level.SCAN: _row_type("ExcludedScan", _Sub, _Ses, _Scan, _Evidence),
    Level.SESSION: _row_type("ExcludedSession", _Sub, _Ses, _Evidence),
    Level.PARTICIPANT: _row_type("ExcludedParticipant", _Sub, _Evidence),
}


@dataclass(frozen=True, kw_only=True)
class Exclusions:
    """Which targets, scans, sessions or participants should be left out, and on what evidence?

    Fieldmap coregistration and diffusion are judged by their verdicts (`rule`, `unsure`,
    `min_fails`), masks, normalisation and surfaces by their clicks (`min_clicks`, `min_raters`).
    Verdicts on click steps and clicks on verdict steps decide nothing (see `Crossed`).

    Parameters
    ----------
    step
        One step, several, or None for all.
    rule
        `any-fail`: one FAIL makes an image bad. `majority`: FAIL is its most frequent verdict,
        ties going to the worse. `unanimous`: all its verdicts are FAIL. `min-fails`: at least
        `min_fails` of them are.
    min_fails
        For the rule `min-fails` only.
    unsure
        UNSURE counts as `pass`, as `fail`, or is left out (`ignore`).
    min_clicks, min_raters
        An image is bad when at least this many raters' reviews have at least this many clicks.
        With `min_raters` above 1 only named raters count, each once.
    latest
        Keep only each rater's latest review of an image; by default every review counts.
    source_data_issue
        Exclude targets, too, whose raw data a reviewer flagged.
    level
        What is excluded as a whole: it is when any target in it is.
    images
        How many bad images a target needs.
    status
        Which rows to give; None for all.

        `excluded`; `unreviewed`: no review of any image; `partial`: not all images reviewed, and
        not excluded; `kept`: all images reviewed, and not excluded.

    Raises
    ------
    UsageError
        When options do not go together.
    """

    step: Step | Collection[Step] | None = None
    rule: Rule | str = Rule.ANY_FAIL
    min_fails: int | None = None
    unsure: Unsure | str = Unsure.IGNORE
    min_clicks: int = 1
    min_raters: int = 1
    latest: bool = False
    source_data_issue: bool = False
    level: Level | str = Level.SCAN
    images: int = 1
    status: Status | str | Collection[Status | str] | None = Status.EXCLUDED

    def __post_init__(self) -> None:
        for name, kind in (("rule", Rule), ("unsure", Unsure), ("level", Level)):
            object.__setattr__(self, name, _member(kind, getattr(self, name), name))
        statuses = [self.status] if isinstance(self.status, str) else self.status or list(Status)
        chosen = {_member(Status, status, "status") for status in statuses}
        object.__setattr__(self, "status", tuple(s for s in Status if s in chosen))
        steps = [self.step] if isinstance(self.step, int) else self.step or list(Step)
        object.__setattr__(self, "step", tuple(sorted({Step(step) for step in steps})))
        self._check()

    def _check(self) -> None:
        if (self.rule == Rule.MIN_FAILS) != (self.min_fails is not None):
            raise UsageError(
                "min_fails goes with the rule min-fails, and only with it; "
                "give both (--rule min-fails --min-fails 2), or neither"
            )
        for name in ("min_fails", "min_clicks", "min_raters", "images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; give 1 or more")
        if not self.steps & CLICK_STEPS and (self.min_clicks, self.min_raters) != (1, 1):
            raise UsageError(
                "min_clicks and min_raters are for steps that are judged by clicks; for "
                f"{_names(self.steps)} use the rule min-fails (--rule min-fails --min-fails 2)"
            )
        verdict_options = (self.rule, self.unsure)
        if not self.steps & VERDICT_STEPS and verdict_options != (Rule.ANY_FAIL, Unsure.IGNORE):
            raise UsageError(
                "rule and unsure are for steps that are judged by verdicts; for "
                f"{_names(self.steps)} use min_clicks and min_raters (--min-clicks 3)"
            )

    @property
    def steps(self) -> frozenset[Step]:
        """The steps asked for."""
        return frozenset(self.step)  # type: ignore[arg-type]  # made a tuple in __post_init__

    @property
    def row_type(self) -> Any:
        """NamedTuple of the rows of this level."""
        return _ROW_TYPES[Level(self.level)]

    @property
    def text(self) -> str:
        """The rule as the options of `dirtmodel exclusions` that reproduce it."""
        options = ["--step " + step.name.lower() for step in sorted(self.steps)]
        if self.steps == set(Step):
            options = ["--step all"]
        if self.steps & VERDICT_STEPS:
            options += [f"--rule {self.rule}", f"--unsure {self.unsure}"]
            options += [f"--min-fails {self.min_fails}"] if self.min_fails is not None else []
        if self.steps & CLICK_STEPS:
            options += [f"--min-clicks {self.min_clicks}", f"--min-raters {self.min_raters}"]
        options += ["--latest"] if self.latest else []
        options += ["--source-data-issue"] if self.source_data_issue else []
        return " ".join([*options, f"--level {self.level}", f"--images {self.images}"])

    def select(self) -> Statement:
        """One row per target, scan, session or participant, as in `row_type`.

        `image_ids` is a text of the bad images' ids with commas between them, in no particular
        order; `run` gives a sorted list.
        """
        level = Level(self.level)
        targets = self._targets().subquery("targets")
        target = Target.__table__.c
        keys = [target[name] for name in _KEYS[level]]
        if level is Level.TARGET:
            keys = [*keys, target.id]
        raters = self._raters(keys)
        sums = {
            name: sa.cast(sa.func.sum(targets.c[name]), sa.BigInteger)
            for name in ("n_images", "n_reviewed", "n_bad_images")
        }
        counts = [
            sa.cast(sa.func.sum(targets.c[name]), sa.BigInteger).label(name)
            for name in ("n_pass", "n_unsure", "n_fail", "n_clicks")
        ]
        status = sa.case(
            (sa.func.max(targets.c.excluded) == 1, Status.EXCLUDED.value),
            (sums["n_reviewed"] == 0, Status.UNREVIEWED.value),
            (sums["n_reviewed"] < sums["n_images"], Status.PARTIAL.value),
            else_=Status.KEPT.value,
        )
        same = sa.and_(*(raters.c[key.name].is_not_distinct_from(key) for key in keys))
        release = sa.select(Release.label).order_by(Release.id).limit(1).scalar_subquery()
        statement = (
            sa.select(
                *(target[name] for name in _KEYS[level]),
                status.label("status"),
                *(value.label(name) for name, value in sums.items()),
                sa.func.coalesce(sa.func.max(raters.c.n_raters), 0).label("n_raters"),
                *counts,
                (sa.func.max(targets.c.source_data_issue) == 1).label("source_data_issue"),
                sa.func.aggregate_strings(targets.c.image_ids, ",").label("image_ids"),
                sa.literal(self.text).label("rule"),
                release.label("release"),
            )
            .join_from(targets, Target, target.id == targets.c.target_id)
            .outerjoin(raters, same)
            .group_by(*keys)
            .order_by(*([target.id] if level is Level.TARGET else map(ascending, keys)))
        )
        if set(self.status or ()) != set(Status):
            statement = statement.having(status.in_([str(s) for s in self.status or ()]))
        return statement

    def select_bad_images(self) -> sa.Select[tuple[int]]:
        """Ids of the images that are bad by this rule, in no particular order."""
        images = self._images().subquery("judged_images")
        return sa.select(images.c.img_id).where(images.c.bad == 1)

    def run(self, session: orm.Session) -> Rows[Any]:
        """Give the rows, ordered by what the level names (targets by step and file1)."""
        place = self.row_type._fields.index("image_ids")
        rows = (
            self.row_type._make((*row[:place], _id_list(row[place]), *row[place + 1 :]))
            for row in session.execute(self.select())
        )
        return Rows(self.row_type, rows)

    def _targets(self) -> sa.Select[Any]:
        """One row per target: counts over its images, and whether it is excluded (0 or 1)."""
        images = self._images().subquery("images")
        n_bad = sa.func.sum(images.c.bad)
        flagged = sa.func.max(images.c.source_data_issue)
        excluded = n_bad >= self.images
        if self.source_data_issue:
            excluded |= flagged == 1
        bad_id = sa.case((images.c.bad == 1, sa.cast(images.c.img_id, sa.Text)))
        return sa.select(
            images.c.target_id,
            sa.func.count().label("n_images"),
            sa.func.sum(images.c.reviewed).label("n_reviewed"),
            n_bad.label("n_bad_images"),
            *(
                sa.func.sum(images.c[name]).label(name)
                for name in ("n_pass", "n_unsure", "n_fail", "n_clicks")
            ),
            flagged.label("source_data_issue"),
            sa.func.aggregate_strings(bad_id, ",").label("image_ids"),
            sa.case((excluded, 1), else_=0).label("excluded"),
        ).group_by(images.c.target_id)

    def _images(self) -> sa.CompoundSelect[Any] | sa.Select[Any]:
        """One row per image: its verdicts or clicks, and whether it is bad (0 or 1)."""
        parts = []
        if steps := self.steps & VERDICT_STEPS:
            parts.append(self._judged_images(steps, self._verdicts_per_image()))
        if steps := self.steps & CLICK_STEPS:
            parts.append(self._judged_images(steps, self._clicks_per_image()))
        return sa.union_all(*parts) if len(parts) > 1 else parts[0]

    def _judged_images(self, steps: Collection[Step], judged: sa.Subquery) -> sa.Select[Any]:
        names = ("bad", "n_pass", "n_unsure", "n_fail", "n_clicks", "source_data_issue")
        return (
            sa.select(
                Picture.target_id,
                Picture.img_id,
                sa.case((judged.c.img_id.is_not(None), 1), else_=0).label("reviewed"),
                *(sa.func.coalesce(judged.c[name], 0).label(name) for name in names),
            )
            .join_from(Picture, Target, Target.id == Picture.target_id)
            .outerjoin(judged, judged.c.img_id == Picture.img_id)
            .where(Target.step.in_(sorted(steps)))
        )

    def _verdicts_per_image(self) -> sa.Subquery:
        verdicts = reviews.verdicts(latest=self.latest)
        n_pass, n_unsure, n_fail = (
            sa.func.sum(sa.case((verdicts.c.rating == verdict, 1), else_=0)) for verdict in Ratings
        )
        against = n_fail + n_unsure if self.unsure == Unsure.FAIL else n_fail
        in_favour = n_pass + n_unsure if self.unsure == Unsure.PASS else n_pass
        bad = {
            Rule.ANY_FAIL: against > 0,
            Rule.MAJORITY: (against > 0) & (against >= in_favour),
            Rule.UNANIMOUS: (against > 0) & (in_favour == 0),
            Rule.MIN_FAILS: against >= (self.min_fails or 1),
        }[Rule(self.rule)]
        return (
            sa.select(
                verdicts.c.img_id,
                sa.case((bad, 1), else_=0).label("bad"),
                n_pass.label("n_pass"),
                n_unsure.label("n_unsure"),
                n_fail.label("n_fail"),
                sa.literal(0).label("n_clicks"),
                reviews.any_of(verdicts.c.source_data_issue).label("source_data_issue"),
            )
            .group_by(verdicts.c.img_id)
            .subquery("verdicts_per_image")
        )

    def _clicks_per_image(self) -> sa.Subquery:
        sets = reviews.click_sets(latest=self.latest)
        faulty = sets.c.n_clicks >= self.min_clicks
        if self.min_raters == 1:
            bad = reviews.any_of(faulty) == 1
        else:
            bad = sa.func.count(sa.case((faulty, sets.c.rater)).distinct()) >= self.min_raters
        return (
            sa.select(
                sets.c.img_id,
                sa.case((bad, 1), else_=0).label("bad"),
                *(sa.literal(0).label(name) for name in ("n_pass", "n_unsure", "n_fail")),
                sa.func.sum(sets.c.n_clicks).label("n_clicks"),
                sa.func.max(sets.c.source_data_issue).label("source_data_issue"),
            )
            .group_by(sets.c.img_id)
            .subquery("clicks_per_image")
        )

    def _raters(self, keys: list[Any]) -> sa.Subquery:
        """Number of named raters by the keys of the level."""
        parts = []
        for steps, made in (
            (self.steps & VERDICT_STEPS, reviews.verdicts),
            (self.steps & CLICK_STEPS, reviews.click_sets),
        ):
            if steps:
                review = made(latest=False)
                parts.append(
                    sa.select(Picture.target_id, review.c.rater)
                    .distinct()
                    .join_from(Picture, Target, Target.id == Picture.target_id)
                    .join(review, review.c.img_id == Picture.img_id)
                    .where(Target.step.in_(sorted(steps)))
                )
        pairs = (sa.union_all(*parts) if len(parts) > 1 else parts[0]).subquery("pairs")
        return (
            sa.select(*keys, sa.func.count(pairs.c.rater.distinct()).label("n_raters"))
            .join_from(pairs, Target, Target.id == pairs.c.target_id)
            .group_by(*keys)
            .subquery("raters")
        )


class CrossedCount(NamedTuple):
    """Rows in the table that does not judge their step."""

    verdicts_on_click_steps: int
    clicks_on_verdict_steps: int


@dataclass(frozen=True)
class Crossed:
    """How many rows lie in the table that does not judge their step, and so decide nothing?

    Parameters
    ----------
    steps
        Only of images of these steps.
    """

    steps: Collection[Step] = tuple(Step)

    def select(self) -> Statement:
        """One row, as `CrossedCount`."""
        counts = [
            sa.select(sa.func.count())
            .join_from(Target, Picture, Picture.target_id == Target.id)
            .join(review, review.img_id == Picture.img_id)
            .where(Target.step.in_(sorted(set(self.steps) & steps)))
            .scalar_subquery()
            .label(name)
            for review, steps, name in (
                (Rating, CLICK_STEPS, "verdicts_on_click_steps"),
                (Coordinate, VERDICT_STEPS, "clicks_on_verdict_steps"),
            )
        ]
        return sa.select(*counts)

    def run(self, session: orm.Session) -> Rows[CrossedCount]:
        """Give the one row."""
        return Rows(CrossedCount, map(CrossedCount._make, session.execute(self.select())))


_KIT_SUB: Final = re.compile(r"(?<=sub-)[0-9]{5}")
_KIT_TASK: Final = re.compile(r"cuff|rest")
_KIT_RUN: Final = re.compile(r"(?<=run-0)[1|2]")


class KitExclusion(NamedTuple):
    """A functional run that the starter kit excludes."""

    sub: int | None
    task: str | None
    run: str | None


@dataclass(frozen=True)
class KitExclusions:
    """Which functional runs does the starter kit exclude?

    Those with a fieldmap coregistration that anyone ever rated FAIL. This is the published rule to
    the letter: `sub`, `task` and `run` are cut out of file1 by the kit's own expressions, not taken
    from the entities.
    """

    def select(self) -> Statement:
        """File names with a FAIL, one row each."""
        failed = (
            sa.select(Picture.target_id)
            .join_from(Rating, Picture, Picture.img_id == Rating.img_id)
            .where(Rating.rating == Ratings.FAIL)
        )
        return (
            sa.select(Target.file1)
            .where(Target.step == Step.FMAP_COREGISTRATION, Target.id.in_(failed))
            .order_by(Target.id)
        )

    def run(self, session: orm.Session) -> Rows[KitExclusion]:
        """Give the distinct (sub, task, run), sorted; what the kit cannot read comes last."""
        found = {_kit(file1) for file1 in session.scalars(self.select())}
        return Rows(KitExclusion, sorted(found, key=_nulls_last))


def _kit(file1: str) -> KitExclusion:
    sub, task, run = (
        match[0] if (match := pattern.search(file1)) else None
        for pattern in (_KIT_SUB, _KIT_TASK, _KIT_RUN)
    )
    return KitExclusion(None if sub is None else int(sub), task, run)


def _nulls_last(row: tuple[Any, ...]) -> tuple[tuple[bool, Any], ...]:
    return tuple((value is None, "" if value is None else value) for value in row)


def _id_list(text: str | None) -> list[int]:
    return sorted(map(int, text.split(","))) if text else []


def _member(kind: Any, value: Any, name: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise UsageError(f"{value!r} is no {name}; choose one of {known}") from None


def _names(steps: Collection[Step]) -> str:
    return ", ".join(step.name.lower() for step in sorted(steps))
