"""`dirtmodel report`: the numbers of the other commands on one page."""

import contextlib
import dataclasses
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import cli, sample
from dirtmodel.errors import OutputError
from dirtmodel.pages import Chip, Table
from dirtmodel.reporting import rules
from dirtmodel.reporting.collect import Options, collect
from dirtmodel.reporting.contents import Report
from dirtmodel.reporting.gallery import Gallery

FMAP = dm.Step.FMAP_COREGISTRATION
Run = Callable[..., Result]


def options(**given: Any) -> Options:
    default = Options(
        rule=dm.Exclusions(), title=None, command="-o x", pictures=150, most_bytes=15_000_000
    )
    return dataclasses.replace(default, **given)


@pytest.fixture(scope="module")
def place(loaded_file: Path) -> Path:
    """Open the release on SQLite; another test compares the engines."""
    return loaded_file


@pytest.fixture
def db(place: Path) -> Iterator[orm.Session]:
    with dm.open(place) as session:
        yield session


@pytest.fixture
def run(place: Path) -> Run:
    return lambda *args: CliRunner().invoke(
        cli.main, list(map(str, args)), env={"DIRTMODEL_DB": str(place)}
    )


def listed(found: Report) -> Report:
    """Read the rows of all tables into lists, so that they can be read more than once."""
    changes = {
        field.name: dataclasses.replace(table, rows=[list(row) for row in table.rows])
        for field in dataclasses.fields(found)
        if isinstance(table := getattr(found, field.name), Table)
    }
    return dataclasses.replace(found, **changes)


@pytest.fixture(scope="module")
def contents(place: Path) -> Report:
    with dm.open(place) as session:
        return listed(collect(session, options()))


@pytest.mark.parametrize("loaded_url", ["postgres"], indirect=True)
def test_both_engines_have_the_same_report(loaded_url: sa.URL, contents: Report) -> None:
    with dm.open(loaded_url) as session:
        found = listed(collect(session, options()))

    same = {"facts": (), "gallery": None}
    assert dataclasses.replace(found, **same) == dataclasses.replace(contents, **same)


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def error_rate(rate: dict[str, Any], name: str) -> str:
    low, high = rate[f"{name}_low"], rate[f"{name}_high"]
    if low is None:
        return f"{rate[name]:.3f} ({rate['reason']})"
    return f"{rate[name]:.3f} [{low:.3f}, {high:.3f}]"


class TestNumbers:
    """Every number on the page is one that a command prints."""

    def test_of_the_coverage(self, run: Run, contents: Report) -> None:
        rows = printed(run("coverage", "--format", "json"))

        assert contents.coverage is not None
        assert [list(row) for row in contents.coverage.rows] == [list(row.values()) for row in rows]

    def test_of_targets_by_step(self, run: Run, contents: Report) -> None:
        targets = printed(run("coverage", "--targets", "--format", "json"))

        for step in contents.covered:
            mine = [target for target in targets if target["step"] == step.name]
            complete = sum(target["n_unreviewed"] == 0 for target in mine)
            untouched = sum(target["n_reviewed"] == 0 for target in mine)
            assert [part.n for part in step.bars[0].parts] == [
                complete,
                len(mine) - complete - untouched,
                untouched,
            ]

    def test_of_the_exclusions(self, run: Run, contents: Report) -> None:
        rows = printed(run("exclusions", "--format", "json", "-q"))

        assert contents.excluded is not None
        columns = contents.excluded.columns
        for cells, row in zip(contents.excluded.rows, rows, strict=True):
            shown = dict(zip(columns, cells, strict=True))
            assert (shown["sub"], shown["scan"]) == (row["sub"], row["scan"])
            assert shown["status"] == Chip("excluded", "excluded")
            for name, heading in (
                ("n_images", "images"),
                ("n_bad_images", "bad"),
                ("n_fail", "FAIL"),
            ):
                assert shown[heading] == row[name]

    def test_of_the_statuses(self, run: Run, contents: Report) -> None:
        rows = printed(run("exclusions", "--status", "all", "--format", "json", "-q"))

        statuses = [row["status"] for row in rows]
        assert {part.name: part.n for part in contents.statuses.parts} == {
            name: statuses.count(name) for name in ("excluded", "kept", "unreviewed", "partial")
        }
        assert contents.summary[1] == (
            f"The rule excludes {statuses.count('excluded')} of {len(rows)} scans: "
            f"{len(rows) - statuses.count('unreviewed')} reviewed at least in part, "
            f"{statuses.count('unreviewed')} not reviewed at all."
        )

    def test_of_the_agreement(self, run: Run, contents: Report) -> None:
        text = re.sub(r" +", " ", run("agreement", "--step", FMAP).stdout)

        step = next(step for step in contents.steps if step.name == FMAP.name)
        assert "\n".join(step.overlap) in text
        assert step.repeats is not None
        for row in step.repeats.rows:
            assert " ".join(map(str, row)) in text
        (forest,) = contents.headline
        ours = [point for point in forest.points if point.label.startswith(FMAP.name)]
        assert [point.text.split()[0] for point in ours] == [
            re.search(pattern, text)[1]  # type: ignore[index]  # found, or the test fails
            for pattern in (r"Gwet's AC1 ([\d.]+)", r"alpha, ordinal ([\d.]+)")
        ]

    def test_of_pairs_of_raters(self, run: Run, contents: Report) -> None:
        pairs = printed(run("agreement", "--step", FMAP, "--format", "json"))["pairs"]

        matrix = next(step for step in contents.steps if step.name == FMAP.name).pairs
        assert matrix is not None
        shown = {
            (row, name): cell.text.rstrip("*")
            for row, cells in matrix.rows
            for name, cell in zip(matrix.names, cells, strict=True)
            if cell is not None
        }
        assert shown == {
            pair: f"{found['gwet_ac']:.2f}"
            for found in pairs
            for pair in (
                (found["first"], found["second"]),
                (found["second"], found["first"]),
            )
        }

    def test_of_error_rates(self, run: Run, contents: Report) -> None:
        rates = printed(run("consensus", "--step", FMAP, "--raters", "--format", "json"))

        step = next(step for step in contents.steps if step.name == FMAP.name)
        for plots, name in zip(step.errors, ("sensitivity", "specificity"), strict=True):
            shown = {
                point.label.split(",")[0]: point.text for plot in plots for point in plot.points
            }
            assert shown == {rate["rater"]: error_rate(rate, name) for rate in rates}

    def test_of_the_next_reviews(self, run: Run, contents: Report) -> None:
        rows = printed(run("consensus", "--step", "mask", "--next", 10, "--format", "json"))

        step = next(step for step in contents.steps if step.name == "MASK")
        assert step.following is not None
        assert [(row[0], row[-1]) for row in step.following.rows] == [
            (str(row["img_id"]), f"{row['bits']:.3f}") for row in rows
        ]

    def test_of_reviews_by_week_add_up_to_the_coverage(self, run: Run, contents: Report) -> None:
        rows = printed(run("coverage", "--format", "json"))

        n_reviews = sum(row["n_reviews"] for row in rows)
        assert sum(week.n for week in contents.weeks) == n_reviews
        assert contents.activity is not None
        cells = [cell for _, row in contents.activity.rows for cell in row if cell is not None]
        assert sum(int(cell.text) for cell in cells) == n_reviews

    def test_of_findings(self, run: Run, contents: Report) -> None:
        counts = printed(run("info", "--format", "json"))["findings"]

        assert contents.findings is not None
        found: dict[str, int] = {}
        for _, code, _, n, _ in contents.findings.rows:
            found[str(code)] = found.get(str(code), 0) + int(n)  # type: ignore[arg-type]  # a count
        assert found == counts

    def test_of_the_methods(self, run: Run, contents: Report) -> None:
        text = run("agreement", "--step", FMAP, "--methods").stdout

        assert any(text.startswith(prose + "\n") for prose in contents.methods)
        assert set(text.strip().split("\n\n")[1].splitlines()) <= set(contents.sources)

    def test_of_clicks(self, contents: Report, db: orm.Session) -> None:
        shown = sum(
            int(panel.caption.split(": ")[1].split()[0])
            for one in contents.clicks
            for panel in one.panels
        )

        complete = (dm.Coordinate.x.is_not(None), dm.Coordinate.y.is_not(None))
        decide = sa.select(dm.Review.img_id).where(
            dm.Review.kind == "coordinate", dm.Review.decides
        )
        rows = db.execute(
            sa.select(dm.Coordinate.x, dm.Coordinate.y).where(
                *complete, dm.Coordinate.img_id.in_(decide)
            )
        ).all()
        finite = [row for row in rows if all(abs(value) < float("inf") for value in row)]
        assert shown == len(finite)


class TestOptions:
    def test_a_step_is_that_of_the_whole_page(self, db: orm.Session) -> None:
        found = collect(db, options(rule=dm.Exclusions(step=FMAP)))

        assert [step.name for step in found.covered] == [FMAP.name]
        assert [step.name for step in found.steps] == [FMAP.name]
        assert found.clicks == ()

    def test_pictures_that_do_not_fit_are_counted(self, db: orm.Session) -> None:
        rows = list(dm.Exclusions().run(db))

        few = Gallery(db, rows, most=4, most_bytes=10_000_000)
        none = Gallery(db, rows, most=150, most_bytes=0)

        assert [len(one.thumbs) for one in few] == [1, 1, 1, 1]
        assert few.left_out == f"Left out for size: the pictures of {len(rows) - 4:,} more."
        assert list(none) == []
        assert none.left_out == f"Left out for size: the pictures of {len(rows):,} more."

    def test_the_worst_pictures_come_first(self, db: orm.Session) -> None:
        row = max(dm.Exclusions(step=FMAP).run(db), key=lambda row: row.n_bad_images)

        (shown,) = Gallery(db, [row], most=150, most_bytes=10_000_000)

        fails = [sum(found.word == "FAIL" for found in thumb.found) for thumb in shown.thumbs]
        assert len(fails) == 3
        assert fails == sorted(fails, reverse=True)

    def test_5000_excluded_scans_fit_on_the_page(
        self, db: orm.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = list(dm.Exclusions().run(db))
        many = (rows * 5_100)[:5_100]
        monkeypatch.setattr("dirtmodel.queries.exclusions.Exclusions.run", lambda *_: many)

        dm.report(db, tmp_path / "report.html", rule=dm.Exclusions(step="dtifit"), pictures=20)

        page = (tmp_path / "report.html").read_text()
        assert len(page) < 15_000_000
        assert page.count("<figure>") >= 20
        assert "And 100 more; see all with dirtmodel exclusions." in page
        assert "Left out for size: the pictures of 5,080 more." in page

    def test_pseudonyms_leave_no_name_and_no_note_on_the_page(
        self, run: Run, db: orm.Session, tmp_path: Path
    ) -> None:
        result = run("report", "--pseudonyms", "-o", tmp_path / "report.html")

        assert result.exit_code == 0, result.output
        text = (tmp_path / "report.html").read_text()
        names = set(filter(None, db.scalars(sa.select(dm.Session.user))))
        notes = {note for note in db.scalars(sa.select(dm.Review.notes)) if note and len(note) > 6}
        assert names
        assert [found for found in names | notes if found in text] == []
        assert "rater-01" in text
        assert "pseudonyms instead of names; notes are omitted" in text

    def test_the_page_names_the_command_that_makes_it_again(self, run: Run, tmp_path: Path) -> None:
        given = ("--step", "fmap_coregistration", "--rule", "majority", "--title", "Our QC")
        run("report", *given, "--pictures", "0", "-o", tmp_path / "one.html")
        text = (tmp_path / "one.html").read_text()
        command = re.search(r"with: dirtmodel (report --db \S+ .*) -o report.html</dd>", text)

        assert command is not None
        assert "<h1>Our QC</h1>" in text
        assert "--step fmap_coregistration --rule majority" in command[1]
        assert "--title &#39;Our QC&#39; --pictures 0" in command[1]


class TestRuleInWords:
    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            (
                {"rule": "majority", "unsure": "fail"},
                (
                    "Where verdicts decide, an image is bad if FAIL is its most frequent "
                    "verdict, or ties with PASS; UNSURE counts as FAIL."
                ),
            ),
            (
                {"rule": "min-fails 2"},
                (
                    "Where verdicts decide, an image is bad if it has at least 2 verdicts FAIL; "
                    "UNSURE is not counted."
                ),
            ),
            (
                {"min_raters": 2, "min_clicks": 3},
                (
                    "Where clicks decide, an image is bad if 2 named raters made at least 3 clicks "
                    "each."
                ),
            ),
            ({"latest": True}, "Only each rater's latest review of an image counts."),
            (
                {"level": "target", "images": 2},
                "A derivative is excluded if it has at least 2 bad images.",
            ),
            (
                {"level": "session", "source_data_issue": True},
                (
                    "A session is excluded if any of its derivatives has at least 1 bad image or "
                    "if a reviewer flagged the raw data of any of them."
                ),
            ),
        ],
    )
    def test_has_the_options(self, given: dict[str, Any], sentence: str) -> None:
        assert sentence in list(rules.in_words(dm.Exclusions(**given)))


def small_tables(*steps: int) -> dict[str, pa.Table]:
    return sample.make_tables(
        subjects=1,
        slices=1,
        steps=steps or (1, 3),
        picture_size=(64, 48),
        frames=2,
        reviewed=1.0,
        hazards=False,
    )


def set_users(tables: dict[str, pa.Table], user: str | None) -> None:
    sessions = tables["session"]
    users = pa.array([user] * len(sessions), pa.large_string())
    place = sessions.schema.get_field_index("user")
    tables["session"] = sessions.set_column(place, "user", users)


def report_of(tables: dict[str, pa.Table], tmp_path: Path, **load: Any) -> str:
    release = sample.write_tables(tables, tmp_path / "release")
    dm.load(release, tmp_path / "dirt.db", **load)
    dm.report(tmp_path / "dirt.db", tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


class TestSparseData:
    def test_an_empty_release_has_a_report(self, tmp_path: Path) -> None:
        tables = {name: table.slice(0, 0) for name, table in small_tables().items()}

        text = report_of(tables, tmp_path)

        assert "There is no image in this database." in text
        assert "There is nothing to review." in text
        assert "The rule excludes nothing." in text

    def test_a_release_without_reviews_has_a_report(self, tmp_path: Path) -> None:
        tables = small_tables()
        for name in ("session", "rating", "coordinate"):
            tables[name] = tables[name].slice(0, 0)

        text = report_of(tables, tmp_path)

        assert (
            "Nothing has been reviewed, so the report has no results about quality or raters."
            in text
        )
        assert "0 of 35 images were reviewed" in text.replace(f"{len(tables['image'])}", "35")

    def test_a_single_rater_has_a_report(self, tmp_path: Path) -> None:
        tables = small_tables()
        set_users(tables, "only")

        text = report_of(tables, tmp_path)

        assert "only one rater" in text
        assert "no image has two raters" in text

    def test_sessions_without_a_user_have_a_report(self, tmp_path: Path) -> None:
        tables = small_tables()
        set_users(tables, None)

        text = report_of(tables, tmp_path)

        assert "no reviews by known raters" in text
        assert "Sessions without a user" in text

    def test_a_damaged_picture_is_named_in_its_place(self, tmp_path: Path) -> None:
        tables = small_tables(0, 3)
        rows = [row | {"rating": 2} for row in tables["rating"].to_pylist()]
        tables["rating"] = pa.Table.from_pylist(rows, tables["rating"].schema)
        dm.load(sample.write_tables(tables, tmp_path / "release"), tmp_path / "dirt.db")
        with contextlib.closing(sqlite3.connect(tmp_path / "dirt.db")) as connection:
            connection.execute("UPDATE image SET img = substr(img, 1, 300) WHERE step IN (0, 3)")
            connection.commit()

        dm.report(tmp_path / "dirt.db", tmp_path / "report.html")

        text = (tmp_path / "report.html").read_text()
        assert re.search(r'<div class="missing">image \d+: ', text)
        assert "none of the 1 pictures of this heat map can be decoded" in text

    def test_a_step_that_dirt_does_not_define_has_a_report(self, tmp_path: Path) -> None:
        tables = small_tables(3)
        for name in ("session", "image"):
            rows = tables[name].to_pylist()
            for row in rows:
                row["step"] = 5 if row["step"] == 3 else row["step"]
            tables[name] = pa.Table.from_pylist(rows, tables[name].schema)

        text = report_of(tables, tmp_path, extend=True)

        assert "STEP_5" in text
        assert "FMAP_COREGISTRATION" not in text


class TestRefusals:
    def test_an_existing_file_is_refused_without_replace(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        path.write_text("mine")

        result = run("report", "--step", FMAP, "-o", path)

        assert (result.exit_code, path.read_text()) == (2, "mine")
        assert result.stderr == (
            f"Error: {path} exists already; choose another path, or add --replace "
            "(in Python replace=True)\n"
        )

    def test_an_existing_file_is_replaced_on_request(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        path.write_text("mine")

        result = run("report", "--step", "dtifit", "--replace", "-o", path)

        assert (result.exit_code, result.stderr) == (0, f"Wrote {path}.\n")
        assert path.read_text().startswith("<!doctype html>")

    def test_a_full_disk_leaves_no_partial_page(
        self, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("dirtmodel.pages.write", full)

        with pytest.raises(OutputError, match="No space left on device"):
            dm.report(place, tmp_path / "report.html", rule=dm.Exclusions(step="dtifit"))

        assert list(tmp_path.iterdir()) == []

    def test_a_step_without_images_is_refused(self, run: Run, tmp_path: Path) -> None:
        result = run("report", "--step", "7", "-o", tmp_path / "report.html")

        assert result.exit_code == 2
        assert not (tmp_path / "report.html").exists()

    def test_stdout_is_refused(self, run: Run) -> None:
        result = run("report", "-o", "-")

        assert result.exit_code == 2
        assert "reports are not for stdout; say where they go, for example -o report.html" in (
            result.stderr
        )

    @pytest.mark.parametrize("limits", [{"pictures": -1}, {"megabytes": 0}])
    def test_limits_below_their_minimum_are_refused(
        self, db: orm.Session, limits: dict[str, int]
    ) -> None:
        with pytest.raises(dm.UsageError) as refused:
            dm.report(db, "report.html", **limits)  # type: ignore[arg-type]  # of limits only

        assert str(refused.value) == "a report needs 0 or more pictures and 1 or more megabytes"

    def test_conditions_on_targets_are_refused(self, db: orm.Session) -> None:
        with pytest.raises(dm.UsageError) as refused:
            dm.report(db, "report.html", rule=dm.Exclusions(step=3, sub=10003, run_number=1))

        assert str(refused.value) == "a report is about whole steps; leave out --sub 10003, --run 1"
