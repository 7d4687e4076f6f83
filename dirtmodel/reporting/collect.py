"""Collect the contents of the report from a database; every number comes from a query class."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import database, pseudonyms
from dirtmodel._version import __version__
from dirtmodel.entities import cohort
from dirtmodel.models import Finding, Release, ReleaseFile, Step
from dirtmodel.pages import Cell, Chip, Table
from dirtmodel.queries.activity import Activity
from dirtmodel.queries.agreement import Agreement
from dirtmodel.queries.coverage import Coverage, StepCoverage
from dirtmodel.queries.crossed import Crossed
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.rules import Exclusion, Status, columns_of
from dirtmodel.queries.text import methods
from dirtmodel.reporting import clicks, raters, rules
from dirtmodel.reporting.contents import Bar, Report, StepCovered
from dirtmodel.reporting.gallery import Gallery
from dirtmodel.wording import count

_MOST_ROWS: Final = 5_000
"""The most rows in the table of evidence."""
_MOST_IDS: Final = 10
"""The most ids of images in a cell."""
_NO_COHORT: Final = "other participants"
_RESERVED: Final = 5_000_000
"""Bytes reserved for everything except pictures and heat maps."""
_HEADINGS: Final = {
    "n_bad_images": "bad",
    "n_pass": "PASS",
    "n_unsure": "UNSURE",
    "n_fail": "FAIL",
    "source_data_issue": "raw data issue",
    "image_ids": "ids of bad images",
}
_SAME_IN_EVERY_ROW: Final = frozenset({"rule", "release"})


@dataclass(frozen=True, kw_only=True)
class Options:
    """The subject of the report, and its limits.

    Parameters
    ----------
    rule
        The exclusion rule. The whole page is about the steps of this rule.
    title
        The heading; None for the label of the release.
    command
        The options of `dirtmodel report` that write the same page, without the database.
    pictures
        The most pictures of excluded scans.
    most_bytes
        The largest size of the page in bytes.
    """

    rule: Exclusions
    title: str | None
    command: str
    pictures: int
    most_bytes: int


def collect(session: orm.Session, options: Options) -> Report:
    """Run all queries of the page; the pictures of excluded scans are read later."""
    rule = options.rule
    rule.require(session.connection())
    release = session.execute(sa.select(Release)).scalar()
    label = release.label if release else None
    covered = list(Coverage(step=rule.step).run(session))
    found = list(replace(rule, status=None).run(session))
    shown = [row for row in found if row.status in {str(status) for status in rule.statuses}]
    results = [Agreement(step=row.step).run(session) for row in covered if row.n_reviews]
    heat_maps = tuple(clicks.heat_maps(session, covered))
    bytes_left = options.most_bytes - _RESERVED - sum(one.size for one in heat_maps)
    activity = Activity(rule.steps)
    weeks = list(activity.run(session))
    prose = [methods.prose(result, label) for result in results]
    cited = " ".join([*prose, "Dawid & Skene 1979" if results else ""])
    statuses = Counter(row.status for row in found)
    return Report(
        title=options.title or f"Quality control of release {label or 'without a label'}",
        facts=tuple(_facts(session, release, options)),
        files=_files(session),
        summary=tuple(_summary(covered, statuses, rule)),
        coverage=_coverage(covered),
        covered=tuple(_covered(session, covered)),
        rule=rule.rule_text,
        rule_words=tuple(rules.in_words(rule)),
        statuses=Bar.of(
            f"{rule.level}s".capitalize(), {str(status): statuses[status] for status in Status}
        ),
        excluded=_excluded(shown, rule),
        gallery=Gallery(
            session,
            [row for row in shown if row.status == Status.EXCLUDED],
            most=options.pictures,
            most_bytes=max(bytes_left, 0),
        ),
        headline=raters.headline_forest(results),
        steps=tuple(raters.step_agreement(session, result) for result in results),
        clicks=heat_maps,
        weeks=raters.weeks(weeks),
        activity=raters.activity(weeks),
        unknown=_by_step("Sessions without a user", activity.unknown(session)),
        findings=_findings(session),
        stale=_by_step("Reviews that are older than their picture", activity.stale(session)),
        crossed=_crossed(session, rule),
        methods=tuple(prose),
        sources=methods.sources(cited),
    )


def _facts(
    session: orm.Session, release: Release | None, options: Options
) -> Iterator[tuple[str, str]]:
    yield "release", release.label if release else "not recorded"
    if release:
        yield (
            "loaded",
            f"{release.loaded_at:%Y-%m-%d %H:%M} UTC by dirtmodel {release.dirtmodel_version}",
        )
    place = shlex.quote(database.display(session.connection().engine.url))
    command = f"dirtmodel report --db {place} {options.command}"
    yield "page", f"made by dirtmodel {__version__} with: {command}"
    if pseudonyms.are_used(session):
        yield "raters", "pseudonyms instead of names; notes are omitted"


def _files(session: orm.Session) -> Table | None:
    rows = [
        (file.name, file.n_rows, file.n_bytes, file.sha256)
        for file in session.scalars(sa.select(ReleaseFile))
    ]
    columns = ("file", "rows", "bytes", "sha256")
    return Table("Files of the release", columns, sorted(rows), frozenset({1, 2})) if rows else None


def _summary(
    covered: Sequence[StepCoverage], statuses: Counter[str], rule: Exclusions
) -> Iterator[str]:
    n_images = sum(row.n_images for row in covered)
    n_reviewed = sum(row.n_reviewed for row in covered)
    n_reviews = sum(row.n_reviews for row in covered)
    if not n_images:
        yield "There is no image in this database."
        return
    yield (
        f"{n_reviewed:,} of {count(n_images, 'image')} were reviewed "
        f"({100 * n_reviewed / n_images:.1f} %), in {count(n_reviews, 'review')}."
    )
    total, unreviewed = sum(statuses.values()), statuses[Status.UNREVIEWED]
    yield (
        f"The rule excludes {statuses[Status.EXCLUDED]:,} of {count(total, str(rule.level))}: "
        f"{total - unreviewed:,} reviewed at least in part, {unreviewed:,} not reviewed at all."
    )
    if not n_reviews:
        yield "Nothing has been reviewed, so the report has no results about quality or raters."


def _coverage(covered: Sequence[StepCoverage]) -> Table | None:
    rows = [(row.step.name, *row[1:]) for row in covered]
    numbers = frozenset(range(1, len(StepCoverage._fields)))
    columns = [_heading(name) for name in StepCoverage._fields]
    return Table("Coverage by step", columns, rows, numbers) if rows else None


def _heading(column: str) -> str:
    return _HEADINGS.get(column, column.removeprefix("n_"))


def _covered(session: orm.Session, covered: Sequence[StepCoverage]) -> Iterator[StepCovered]:
    """Count the reviewed, partly reviewed and unreviewed derivatives, by step and cohort."""
    for row in covered:
        counts: dict[str | None, Counter[str]] = {}
        every = Counter[str]()
        for target in Coverage(step=row.step).run_targets(session):
            status = (
                "unreviewed"
                if not target.n_reviewed
                else "partial"
                if target.n_unreviewed
                else "reviewed"
            )
            every[status] += 1
            counts.setdefault(cohort(target.sub or ""), Counter())[status] += 1
        bars = [_bar("all", every)]
        names = sorted(counts, key=lambda name: (name is None, name or ""))
        if names != [None]:
            bars += [_bar(name or _NO_COHORT, counts[name]) for name in names]
        yield StepCovered(row.step.name, tuple(bars))


def _bar(label: str, counts: Counter[str]) -> Bar:
    return Bar.of(label, {name: counts[name] for name in ("reviewed", "partial", "unreviewed")})


def _excluded(rows: Sequence[Exclusion], rule: Exclusions) -> Table | None:
    columns = [name for name in columns_of(rule.level) if name not in _SAME_IN_EVERY_ROW]  # type: ignore[arg-type]  # a Level since its __post_init__
    cells = ([_cell(name, getattr(row, name)) for name in columns] for row in rows[:_MOST_ROWS])
    numbers = frozenset(n for n, name in enumerate(columns) if name.startswith("n_"))
    left = len(rows) - _MOST_ROWS
    more = f"And {left:,} more; see all with dirtmodel exclusions." if left > 0 else ""
    headings = [_heading(name) for name in columns]
    return Table("The evidence by row", headings, cells, numbers, more) if rows else None


def _cell(name: str, value: Any) -> Cell:
    match value:
        case bool():
            return "yes" if value else None
        case list():
            more = f" and {len(value) - _MOST_IDS:,} more" if len(value) > _MOST_IDS else ""
            return " ".join(map(str, value[:_MOST_IDS])) + more
        case Step():
            return value.name
        case str() if name == "status":
            return Chip(value, value)
        case int() if not name.startswith("n_"):
            return str(value)
    return value  # type: ignore[no-any-return]  # text, a number or None


def _by_step(label: str, rows: Any) -> Table | None:
    cells = [(row.step.name, *row[1:]) for row in rows]
    numbers = frozenset(range(1, len(rows.columns)))
    return (
        Table(label, [_heading(name) for name in rows.columns], cells, numbers) if cells else None
    )


def _findings(session: orm.Session) -> Table | None:
    rows = [
        (finding.severity, finding.code, finding.file, finding.n, finding.message)
        for finding in session.scalars(sa.select(Finding).order_by(Finding.id))
    ]
    columns = ("severity", "code", "file", "n", "what it means")
    return Table("Findings of the load", columns, rows, frozenset({3})) if rows else None


def _crossed(session: orm.Session, rule: Exclusions) -> str:
    (crossed,) = Crossed(step=rule.step).run(session)
    if not any(crossed):
        return ""
    return (
        f"Left out: {crossed.verdicts_on_click_steps:,} verdicts on click steps and "
        f"{crossed.clicks_on_verdict_steps:,} clicks on verdict steps."
    )
