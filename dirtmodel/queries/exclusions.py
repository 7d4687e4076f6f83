"""Which scans should be left out of an analysis?"""

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.errors import UsageError
from dirtmodel.models import (
    CLICK_STEPS,
    VERDICT_STEPS,
    Judgement,
    Picture,
    Release,
    Step,
    Tally,
    Target,
    TargetRater,
    member_of,
)
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.results import Rows, Statement
from dirtmodel.queries.rules import KEYS, ROW_TYPES, Excluded, Level, Rule, Status, Unsure, member

_MOST: Final = 2**31 - 1
"""More than anybody counts, and what both engines compare without ado."""


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

    step: Step | str | int | Collection[Step | str | int] | None = None
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
        steps = {member_of(Step, step) for step in _several(self.step, Step)}
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
            if value is not None and value > _MOST:
                raise UsageError(f"{name} is {value}; give {_MOST:,} at most")
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
    def row_type(self) -> type[Excluded]:
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
        target = Target.__table__.c
        keys = [target[name] for name in KEYS[level]]
        units = self._units(keys)
        targets = self._targets().subquery("targets")
        raters = (
            sa.select(units.c.unit, sa.func.count(TargetRater.rater.distinct()).label("n_raters"))
            .join_from(units, TargetRater, TargetRater.target_id == units.c.target_id)
            .group_by(units.c.unit)
            .subquery("raters")
        )
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
        release = sa.select(Release.label).order_by(Release.id).limit(1).scalar_subquery()
        statement = (
            sa.select(
                *keys,
                status.label("status"),
                *(value.label(name) for name, value in sums.items()),
                sa.func.coalesce(sa.func.max(raters.c.n_raters), 0).label("n_raters"),
                *counts,
                (sa.func.max(targets.c.source_data_issue) == 1).label("source_data_issue"),
                sa.func.aggregate_strings(targets.c.image_ids, ",").label("image_ids"),
                sa.literal(self.rule_text).label("rule"),
                release.label("release"),
            )
            .join_from(targets, units, units.c.target_id == targets.c.target_id)
            .join(Target, target.id == units.c.unit)
            .outerjoin(raters, raters.c.unit == units.c.unit)
            .group_by(target.id)
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

    def _units(self, keys: list[Any]) -> sa.Subquery:
        """Give each target the first one that has the same keys: integers group fast."""
        first = sa.func.min(Target.id).over(partition_by=keys)
        unit = Target.id if self.level == Level.TARGET else first
        return (
            sa.select(Target.id.label("target_id"), unit.label("unit"))
            .where(Target.step.in_(sorted(self.steps)))
            .subquery("units")
        )

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
                sa.func.coalesce(sa.func.sum(images.c[name]), 0).label(name)
                for name in ("n_pass", "n_unsure", "n_fail", "n_clicks")
            ),
            flagged.label("source_data_issue"),
            sa.func.aggregate_strings(bad_id, ",").label("image_ids"),
            sa.case((excluded, 1), else_=0).label("excluded"),
        ).group_by(images.c.target_id)

    def _images(self) -> sa.Select[Any]:
        """One row per image: its tally, and whether it is bad (0 or 1)."""
        tally = Tally.__table__.c
        statement = (
            sa.select(
                Picture.target_id,
                Picture.img_id,
                _flag(tally.img_id.is_not(None)).label("reviewed"),
                *(tally[name] for name in ("n_pass", "n_unsure", "n_fail", "n_clicks")),
                _flag(tally.n_flagged > 0).label("source_data_issue"),
            )
            .join_from(Target, Picture, Picture.target_id == Target.id)
            .outerjoin(Tally, (tally.img_id == Picture.img_id) & tally.latest.is_(self.latest))
            .where(Target.step.in_(sorted(self.steps)))
        )
        # Of a click step an image has no verdicts that count, of a verdict step no clicks.
        if (self.min_clicks, self.min_raters) == (1, 1):
            return statement.add_columns(
                _flag(self._failed(tally) | (tally.n_clicks > 0)).label("bad")
            )
        clicked = self._clicked()
        bad = self._failed(tally) | clicked.c.img_id.is_not(None)
        return statement.add_columns(_flag(bad).label("bad")).outerjoin(
            clicked, clicked.c.img_id == Picture.img_id
        )

    def _failed(self, tally: Any) -> sa.ColumnElement[bool]:
        """Whether an image's verdicts make it bad."""
        against = tally.n_fail + (tally.n_unsure if self.unsure == Unsure.FAIL else 0)
        in_favour = tally.n_pass + (tally.n_unsure if self.unsure == Unsure.PASS else 0)
        found: sa.ColumnElement[bool] = {
            Rule.ANY_FAIL: against > 0,
            Rule.MAJORITY: (against > 0) & (against >= in_favour),
            Rule.UNANIMOUS: (against > 0) & (in_favour == 0),
            Rule.MIN_FAILS: against >= (self.min_fails or 1),
        }[Rule(self.rule)]
        return found

    def _clicked(self) -> sa.Subquery:
        """Images that have enough clicks in enough reviews."""
        statement = sa.select(Judgement.img_id).where(Judgement.n_clicks >= self.min_clicks)
        if self.latest:
            statement = statement.where(Judgement.superseded.is_(False))
        enough = sa.func.count(Judgement.rater.distinct()) >= self.min_raters
        return (
            statement.group_by(Judgement.img_id)
            .having(enough if self.min_raters > 1 else sa.true())
            .subquery("clicked")
        )


def _flag(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """1 when the condition holds, else 0 (NULL counts as no)."""
    return sa.case((condition, 1), else_=0)


def _id_list(text: str | None) -> list[int]:
    return sorted(map(int, text.split(","))) if text else []


def _several(value: Any, kind: type[enum.Enum]) -> Collection[Any]:
    """One value, several, or None for all."""
    if value is None:
        return list(kind)
    return [value] if isinstance(value, str | int) else value


def _names(steps: Collection[Step]) -> str:
    return ", ".join(step.name.lower() for step in sorted(steps))
