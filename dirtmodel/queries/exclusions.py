"""Which scans should be left out of an analysis?"""

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

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
from dirtmodel.queries.rules import KEYS, ROW_TYPES, Level, Rule, Status, Unsure, member


@dataclass(frozen=True, kw_only=True)
class Exclusions:
    """Which targets, scans, sessions or participants should be left out, and on what evidence?

    Fieldmap coregistration and diffusion are judged by their verdicts (`rule`, `unsure`,
    `min_fails`), masks, normalisation and surfaces by their clicks (`min_clicks`, `min_raters`).
    Verdicts on click steps and clicks on verdict steps decide nothing (see `Crossed`).

    Parameters
    ----------
    step
        One step, several, or None for all; members, names or numbers.
    rule
        `any-fail`: one FAIL makes an image bad. `majority`: FAIL is its most frequent verdict,
        ties going to the worse. `unanimous`: all its verdicts are FAIL. `min-fails`: at least
        `min_fails` of them are.
    min_fails
        For the rule `min-fails` only; `rule="min-fails 2"` says both.
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

    step: Step | str | Collection[Step | str] | None = None
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
        spelt_out = re.fullmatch(r"min-fails[ =:]+(\d+)", str(self.rule))
        if spelt_out and self.min_fails in {None, int(spelt_out[1])}:
            object.__setattr__(self, "rule", Rule.MIN_FAILS)
            object.__setattr__(self, "min_fails", int(spelt_out[1]))
        for name, kind in (("rule", Rule), ("unsure", Unsure), ("level", Level)):
            object.__setattr__(self, name, member(kind, getattr(self, name), name))
        statuses = {member(Status, status, "status") for status in _several(self.status, Status)}
        object.__setattr__(self, "status", tuple(s for s in Status if s in statuses))
        steps = {_step(step) for step in _several(self.step, Step)}
        object.__setattr__(self, "step", tuple(sorted(steps)))
        self._check()

    def _check(self) -> None:
        if not self.step or not self.status:
            raise UsageError("step and status need one value at least; leave them out, or give one")
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
        return ROW_TYPES[Level(self.level)]

    @property
    def rule_text(self) -> str:
        """The options of `dirtmodel exclusions` that give the same rows again."""
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
        options += [f"--level {self.level}", f"--images {self.images}"]
        every = set(self.statuses) == set(Status)
        options += ["--status all"] if every else [f"--status {s}" for s in self.statuses]
        return " ".join(options)

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The statuses asked for."""
        return self.status  # type: ignore[return-value]  # made a tuple in __post_init__

    def select(self) -> Statement:
        """One row per target, scan, session or participant, as in `row_type`.

        `image_ids` is a text of the bad images' ids with commas between them, in no particular
        order; `run` gives a sorted list.
        """
        level = Level(self.level)
        targets = self._targets().subquery("targets")
        target = Target.__table__.c
        keys = [target[name] for name in KEYS[level]]
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
                *(target[name] for name in KEYS[level]),
                status.label("status"),
                *(value.label(name) for name, value in sums.items()),
                sa.func.coalesce(sa.func.max(raters.c.n_raters), 0).label("n_raters"),
                *counts,
                (sa.func.max(targets.c.source_data_issue) == 1).label("source_data_issue"),
                sa.func.aggregate_strings(targets.c.image_ids, ",").label("image_ids"),
                sa.literal(self.rule_text).label("rule"),
                release.label("release"),
            )
            .join_from(targets, Target, target.id == targets.c.target_id)
            .outerjoin(raters, same)
            .group_by(*keys)
            .order_by(*([target.id] if level is Level.TARGET else map(ascending, keys)))
        )
        if set(self.statuses) != set(Status):
            statement = statement.having(status.in_([str(s) for s in self.statuses]))
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
        verdicts = reviews.verdicts(latest=True) if self.latest else Rating.__table__
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
        sets = reviews.click_sets(latest=self.latest, named=self.min_raters > 1)
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
        for steps, review in (
            (self.steps & VERDICT_STEPS, Rating),
            (self.steps & CLICK_STEPS, Coordinate),
        ):
            if steps:
                by = reviews.raters(review)
                parts.append(
                    sa.select(Picture.target_id, by.c.rater)
                    .distinct()
                    .join_from(Picture, Target, Target.id == Picture.target_id)
                    .join(by, by.c.img_id == Picture.img_id)
                    .where(Target.step.in_(sorted(steps)))
                )
        pairs = (sa.union_all(*parts) if len(parts) > 1 else parts[0]).subquery("pairs")
        return (
            sa.select(*keys, sa.func.count(pairs.c.rater.distinct()).label("n_raters"))
            .join_from(pairs, Target, Target.id == pairs.c.target_id)
            .group_by(*keys)
            .subquery("raters")
        )


def _id_list(text: str | None) -> list[int]:
    return sorted(map(int, text.split(","))) if text else []


def _several(value: Any, kind: type[enum.Enum]) -> Collection[Any]:
    """One value, several, or None for all."""
    if value is None:
        return list(kind)
    return [value] if isinstance(value, str | int) else value


def _step(value: Any) -> Step:
    text = str(value.value if isinstance(value, Step) else value)
    wanted = text.strip().upper().replace("-", "_")
    for step in Step:
        if wanted in {step.name, str(step.value)}:
            return step
    known = ", ".join(f"{step.name.lower()} ({step.value})" for step in Step)
    raise UsageError(f"{value!r} is no step; choose one of {known}")


def _names(steps: Collection[Step]) -> str:
    return ", ".join(step.name.lower() for step in sorted(steps))
