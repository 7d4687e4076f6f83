"""Which scans should be left out of an analysis?"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.errors import UsageError
from dirtmodel.models import (
    JUDGED_BY,
    JudgedBy,
    Review,
    Tally,
    Target,
)
from dirtmodel.models.derived import tally
from dirtmodel.opening import accepts_database
from dirtmodel.queries.inventory import RELEASE_LABEL
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.results import Rows, Statement
from dirtmodel.queries.rules import (
    KEYS,
    Exclusion,
    Level,
    Rule,
    Status,
    Unsure,
    columns_of,
    member,
)
from dirtmodel.queries.targets import Targets

_MAX_COUNT: Final = 2**31 - 1
"""The largest number that both engines can compare with a column of counts."""


@dataclass(frozen=True, kw_only=True)
class Exclusions(Targets):
    """Which targets, scans, sessions or participants should be left out, and on what evidence?

    `rule`, `unsure` and `min_fails` apply to steps that are judged by verdict (fieldmap
    coregistration, diffusion). `min_clicks` and `min_raters` apply to steps that are judged by
    clicks (masks, normalisation, surfaces). Reviews of the other kind are ignored (see `Crossed`).

    Parameters
    ----------
    step, sub, ses, task, run_number, scan
        As in `Targets`.
    rule
        When an image is bad. `any-fail`: at least one verdict is FAIL. `majority`: FAIL is the most
        frequent verdict, or ties with PASS. `unanimous`: all verdicts are FAIL. `min-fails`: at
        least `min_fails` verdicts are FAIL.
    min_fails
        For the rule `min-fails` only; `rule="min-fails 2"` sets both.
    unsure
        UNSURE counts as `pass` or as `fail`, or is left out (`ignore`).
    min_clicks, min_raters
        An image is bad if the reviews of at least `min_raters` raters have at least `min_clicks`
        clicks each. If `min_raters` is above 1, only named raters count, each once.
    latest
        Use only each rater's latest review of an image; by default every review counts.
    source_data_issue
        Also exclude targets whose raw data a reviewer flagged.
    level
        The unit that is excluded as a whole; it is excluded if any target in it is.
    images
        The number of bad images from which a target is excluded.
    status
        The statuses of the rows to return; None for all.

        `excluded`; `unreviewed`: no image was reviewed; `partial`: not excluded, and some images
        were reviewed; `kept`: not excluded, and all images were reviewed.

    Raises
    ------
    UsageError
        If options cannot be used together.
    """

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
        super().__post_init__()
        spelt_out = re.fullmatch(r"min-fails[ =:]+(\d+)", str(self.rule))
        if spelt_out and self.min_fails in {None, int(spelt_out[1])}:
            object.__setattr__(self, "rule", Rule.MIN_FAILS)
            object.__setattr__(self, "min_fails", int(spelt_out[1]))
        for name, kind in (("rule", Rule), ("unsure", Unsure), ("level", Level)):
            object.__setattr__(self, name, member(kind, getattr(self, name), name))
        given = [self.status] if isinstance(self.status, str) else self.status
        statuses = {
            member(Status, status, "status") for status in (Status if given is None else given)
        }
        object.__setattr__(self, "status", tuple(s for s in Status if s in statuses))
        self._check()

    def _check(self) -> None:
        if not self.status:
            raise UsageError("status needs at least one value; name one, or leave it out")
        if (self.rule == Rule.MIN_FAILS) != (self.min_fails is not None):
            raise UsageError(
                "min_fails belongs to the rule min-fails; "
                "use both (--rule min-fails --min-fails 2), or neither"
            )
        for name in ("min_fails", "min_clicks", "min_raters", "images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; use 1 or more")
            if value is not None and value > _MAX_COUNT:
                raise UsageError(f"{name} is {value}; use at most {_MAX_COUNT:,}")
        if JudgedBy.CLICKS not in self.kinds and (self.min_clicks, self.min_raters) != (1, 1):
            raise UsageError(
                "min_clicks and min_raters are for steps that are judged by clicks; for "
                f"{self._names} use the rule min-fails (--rule min-fails --min-fails 2)"
            )
        verdict_options = (self.rule, self.unsure)
        if JudgedBy.VERDICT not in self.kinds and verdict_options != (
            Rule.ANY_FAIL,
            Unsure.IGNORE,
        ):
            raise UsageError(
                "rule and unsure are for steps that are judged by verdicts; for "
                f"{self._names} use min_clicks and min_raters (--min-clicks 3)"
            )

    @property
    def kinds(self) -> set[JudgedBy]:
        """How the steps are judged; both ways if only the database knows."""
        kinds = {JUDGED_BY.get(step) for step in self.steps or ()}
        return set(JudgedBy) if None in kinds or not kinds else {how for how in kinds if how}

    @property
    def _names(self) -> str:
        return ", ".join(step.name.lower() for step in self.steps or ())

    @property
    def rule_text(self) -> str:
        """The options of `dirtmodel exclusions` that return the same rows."""
        options = (["--step all"] if self.steps is None else []) + self.options()
        if JudgedBy.VERDICT in self.kinds:
            options += [f"--rule {self.rule}", f"--unsure {self.unsure}"]
            options += [f"--min-fails {self.min_fails}"] if self.min_fails is not None else []
        if JudgedBy.CLICKS in self.kinds:
            options += [f"--min-clicks {self.min_clicks}", f"--min-raters {self.min_raters}"]
        options += ["--latest"] if self.latest else []
        options += ["--source-data-issue"] if self.source_data_issue else []
        options += [f"--level {self.level}", f"--images {self.images}"]
        all_statuses = set(self.statuses) == set(Status)
        options += ["--status all"] if all_statuses else [f"--status {s}" for s in self.statuses]
        return " ".join(options)

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The statuses of the rows to return."""
        return self.status  # type: ignore[return-value]  # made a tuple in __post_init__

    def select(self) -> Statement:
        """Return the SELECT of one row per target, scan, session or participant.

        It has the columns of the level. `image_ids` is a text of the ids of bad images, separated
        by commas, in no particular order; `run` returns a sorted list.
        """
        level = Level(self.level)
        target = Target.__table__.c
        keys = [target[name] for name in KEYS[level]]
        units = self._units(keys)
        targets = self._targets().subquery("targets")
        raters = self._raters(units)
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
        release = RELEASE_LABEL.scalar_subquery()
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
            .order_by(*self._order(target))
        )
        if set(self.statuses) != set(Status):
            statement = statement.having(status.in_([str(s) for s in self.statuses]))
        return statement

    def select_bad_images(self) -> sa.Select[tuple[int]]:
        """Return the SELECT of the ids of images that are bad by this rule, in no order."""
        images = self._images().subquery("judged_images")
        return sa.select(images.c.img_id).where(images.c.bad == 1)

    @accepts_database
    def run(self, session: orm.Session) -> Rows[Exclusion]:
        """Return the rows, ordered by the keys of the level (targets by step and file1)."""
        return self._rows(session.execute(self.select()))

    @accepts_database
    def run_counted(self, session: orm.Session) -> tuple[Rows[Exclusion], dict[Status, int]]:
        """Return the rows, and the number of rows of every status, also of those not returned."""
        every = replace(self, status=None).select().order_by(None).subquery("every")
        counts = [sa.func.count(sa.case((every.c.status == one.value, 1))) for one in Status]
        # Count in the database: fetching takes longest, and most rows are not returned.
        counted = sa.select(every, *(n.over() for n in counts)).subquery("counted")
        chosen = (
            sa.select(counted)
            .where(counted.c.status.in_([str(status) for status in self.statuses]))
            .order_by(*self._order(counted.c))
        )
        selected = session.execute(chosen).all()
        n = selected[0][-len(counts) :] if selected else session.execute(sa.select(*counts)).one()
        rule = list(every.c.keys()).index("rule")
        rows = ((*row[:rule], self.rule_text, *row[rule + 1 : -len(counts)]) for row in selected)
        return self._rows(rows), dict(zip(Status, n, strict=True))

    def _rows(self, selected: Iterable[Sequence[Any]]) -> Rows[Exclusion]:
        columns = columns_of(Level(self.level))
        # In `Exclusion`, the fields without a value at this level follow the keys of the level.
        n_keys = len(KEYS[Level(self.level)])
        unused = (None,) * (len(Exclusion._fields) - len(columns))
        place = columns.index("image_ids")
        rows = (
            Exclusion._make(
                (
                    *row[:n_keys],
                    *unused,
                    *row[n_keys:place],
                    _id_list(row[place]),
                    *row[place + 1 :],
                )
            )
            for row in selected
        )
        return Rows(Exclusion, rows, columns)

    def _order(self, columns: Any) -> list[Any]:
        level = Level(self.level)
        names = ("step", "file1") if level == Level.TARGET else KEYS[level]
        return [ascending(columns[name]) for name in names]

    def _units(self, keys: list[Any]) -> sa.CTE:
        """Return each target with the id of the first one that has the same keys (its unit).

        Grouping by one integer is faster than by the keys.
        """
        first = sa.func.min(Target.id).over(partition_by=keys)
        unit = Target.id if self.level == Level.TARGET else first
        return (
            sa.select(Target.id.label("target_id"), unit.label("unit"))
            .where(*self.conditions())
            .cte()
        )

    def _raters(self, units: sa.CTE) -> sa.Subquery:
        """Count the named raters of each unit."""
        pairs = (
            sa.select(Review.target_id, Review.rater)
            .where(Review.decides, Review.rater.is_not(None))
            .distinct()
            .cte()
        )
        of_target = (
            sa.select(Review.target_id, sa.func.count(Review.rater.distinct()).label("n_raters"))
            .where(Review.decides, Review.rater.is_not(None))
            .group_by(Review.target_id)
            .subquery("of_target")
        )
        # Most units are a single target, whose raters are counted already.
        same = units.alias()
        of_several = (
            sa.select(sa.func.count(pairs.c.rater.distinct()))
            .join_from(same, pairs, pairs.c.target_id == same.c.target_id)
            .where(same.c.unit == units.c.unit)
            .correlate(units)
            .scalar_subquery()
        )
        n_raters = sa.case(
            (sa.func.count() == 1, sa.func.max(of_target.c.n_raters)), else_=of_several
        )
        return (
            sa.select(units.c.unit, n_raters.label("n_raters"))
            .join_from(units, of_target, of_target.c.target_id == units.c.target_id)
            .group_by(units.c.unit)
            .subquery("raters")
        )

    def _targets(self) -> sa.Select[Any]:
        """Return the SELECT of one row per target: sums over its images, and `excluded` (0, 1)."""
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

    def _images(self) -> sa.Select[Any]:
        """Return the SELECT of one row per image: counts of its reviews, and `bad` (0 or 1)."""
        counts = (tally(latest=True).subquery("latest") if self.latest else Tally.__table__).c
        bad = self._failed(counts) | self._clicked(counts)
        return (
            sa.select(
                counts.target_id,
                counts.img_id,
                _flag(counts.n_reviews > 0).label("reviewed"),
                *(counts[name] for name in ("n_pass", "n_unsure", "n_fail", "n_clicks")),
                _flag(counts.n_source_data_issues > 0).label("source_data_issue"),
                _flag(bad).label("bad"),
            )
            .join(Target, Target.id == counts.target_id)
            .where(*self.conditions())
        )

    def _failed(self, counts: Any) -> sa.ColumnElement[bool]:
        """Return the condition that an image's verdicts make it bad."""
        n_fail = counts.n_fail + (counts.n_unsure if self.unsure == Unsure.FAIL else 0)
        n_pass = counts.n_pass + (counts.n_unsure if self.unsure == Unsure.PASS else 0)
        condition: sa.ColumnElement[bool] = {
            Rule.ANY_FAIL: n_fail > 0,
            Rule.MAJORITY: (n_fail > 0) & (n_fail >= n_pass),
            Rule.UNANIMOUS: (n_fail > 0) & (n_pass == 0),
            Rule.MIN_FAILS: n_fail >= (self.min_fails or 1),
        }[Rule(self.rule)]
        return condition

    def _clicked(self, counts: Any) -> sa.ColumnElement[bool]:
        """Return the condition that an image has enough clicks in enough reviews."""
        if (self.min_clicks, self.min_raters) == (1, 1):
            return counts.n_clicks > 0  # type: ignore[no-any-return]  # `counts` is Any
        enough = sa.select(Review.img_id).where(Review.decides, Review.n_clicks >= self.min_clicks)
        if self.latest:
            enough = enough.where(Review.latest)
        if self.min_raters > 1:
            raters = sa.func.count(Review.rater.distinct())
            enough = enough.group_by(Review.img_id).having(raters >= self.min_raters)
        return counts.img_id.in_(enough)  # type: ignore[no-any-return]  # `counts` is Any


def _flag(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """Return an expression that is 1 if the condition is true, and 0 if it is false or NULL."""
    return sa.case((condition, 1), else_=0)


def _id_list(text: str | None) -> list[int]:
    return sorted(map(int, text.split(","))) if text else []
