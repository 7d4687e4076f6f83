"""`diff` of two releases, compared with a record of the edits between them."""

import csv
import dataclasses
import datetime as dt
import io
import itertools
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from PIL import Image as PillowImage

import dirtmodel as dm
from dirtmodel import cli, database, differences, sample
from dirtmodel.differences.rows import TABLES
from dirtmodel.differences.stale import OLDER, PICTURE_CHANGED
from dirtmodel.differences.texts import shortened

FMAP = dm.Step.FMAP_COREGISTRATION
ENGINE_PAIRS = [("sqlite", "sqlite"), ("sqlite", "postgres"), ("postgres", "postgres")]
NO_CHANGE = {"added": 0, "removed": 0, "changed": 0, "rekeyed": 0}
LATER = dt.datetime(2031, 1, 1, tzinfo=dt.UTC)

Tables = dict[str, list[dict[str, Any]]]


@dataclasses.dataclass
class Record:
    """The edits of a release, in the terms of the report."""

    rows: set[tuple[Any, ...]] = dataclasses.field(default_factory=set)
    """Tuples of table, change, old id, new id, columns that differ."""
    re_encoded: set[int] = dataclasses.field(default_factory=set)
    stale: set[tuple[str, tuple[int, ...], str]] = dataclasses.field(default_factory=set)
    verdicts: dict[str, set[tuple[Any, ...]]] = dataclasses.field(
        default_factory=lambda: {kind: set() for kind in differences.verdicts.KINDS}
    )
    causes: dict[tuple[Any, ...], set[tuple[str, str, int]]] = dataclasses.field(
        default_factory=dict
    )

    def note(self, table: str, change: str, old: int | None, new: int | None, *names: str) -> None:
        self.rows.add((table, change, old, new, names))


class Editor:
    """Turns one release into the next, and records the edits.

    Each edit uses images that no other edit touched, so that the record needs no arithmetic.
    """

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self.schemas = {name: table.schema for name, table in tables.items()}
        self.rows: Tables = {name: table.to_pylist() for name, table in tables.items()}
        self.record = Record()
        self.touched: set[str] = set()
        self.ids = itertools.count(900_001)

    def tables(self) -> dict[str, pa.Table]:
        return {
            name: pa.Table.from_pylist(rows, self.schemas[name]) for name, rows in self.rows.items()
        }

    def reviews(self, table: str, *img_ids: int) -> list[dict[str, Any]]:
        return [row for row in self.rows[table] if row["img_id"] in img_ids]

    def target(self, step: int, fits: Callable[[list[dict[str, Any]]], bool]) -> list[Any]:
        """Return the images of an untouched target that meets a condition."""
        images = sorted(self.rows["image"], key=lambda row: row["id"])
        names = sorted({row["file1"] for row in images if row["step"] == step} - self.touched)
        for name in names:
            found = [row for row in images if row["step"] == step and row["file1"] == name]
            if "sub-" in name and fits(found):
                self.touched.add(name)
                return found
        raise AssertionError(f"no target of step {step} fits this edit")

    def image(self, step: int, *, reviewed_by: str) -> dict[str, Any]:
        """Return an image with reviews, of an untouched target."""
        images = self.target(
            step, lambda found: any(self.reviews(reviewed_by, row["id"]) for row in found)
        )
        return next(row for row in images if self.reviews(reviewed_by, row["id"]))

    def verdicts(self, images: list[dict[str, Any]]) -> list[int]:
        return [row["rating"] for row in self.reviews("rating", *(row["id"] for row in images))]


def scan_of(image: dict[str, Any]) -> tuple[Any, ...]:
    """Return (sub, ses, task, run, scan), read from the file name."""
    parts = dict(part.split("-") for part in image["file1"].split("_") if "-" in part)
    run = int(parts["run"])
    return parts["sub"], parts["ses"], parts["task"], run, f"{parts['task']}{run}"


def add_a_subject(edit: Editor) -> None:
    model = edit.target(FMAP, bool)
    sub = scan_of(model[0])[0]
    session = {"id": next(edit.ids), "step": 3, "user": "newcomer", "created": LATER}
    edit.rows["session"].append(session)
    edit.record.note("session", "added", None, session["id"])
    first = None
    for image in model:
        file1 = image["file1"].replace(sub, "99999")
        new = {**image, "id": next(edit.ids), "file1": file1, "created": LATER}
        edit.rows["image"].append(new)
        edit.record.note("image", "added", None, new["id"])
        first = first or new
    scan = scan_of(first)
    edit.record.causes[scan] = {
        ("image", "added", new_id)
        for table, _, _, new_id, _ in edit.record.rows
        if table == "image"
    }
    rating = rate(edit, first, session["id"], rating=2)
    edit.record.causes[scan] |= {
        ("rating", "added", rating["id"]),
        ("session", "added", session["id"]),
    }
    edit.record.verdicts["newly_excluded"].add(scan)
    edit.record.verdicts["newly_reviewed"].add(scan)


def rate(edit: Editor, image: dict[str, Any], session: int, rating: int) -> dict[str, Any]:
    row = {
        "id": next(edit.ids),
        "source_data_issue": False,
        "rating": rating,
        "img_id": image["id"],
        "session": session,
        "notes": None,
        "created": LATER,
    }
    edit.rows["rating"].append(row)
    edit.record.note("rating", "added", None, row["id"])
    return row


def remove_images_with_their_reviews(edit: Editor) -> None:
    images = edit.target(FMAP, lambda images: bool(edit.verdicts(images)))
    scan = scan_of(images[0])
    edit.record.verdicts["no_longer_present"].add(scan)
    edit.record.causes[scan] = set()
    gone = {row["id"] for row in images}
    for table, column in (("image", "id"), ("rating", "img_id"), ("coordinate", "img_id")):
        for row in [row for row in edit.rows[table] if row[column] in gone]:
            edit.rows[table].remove(row)
            edit.record.note(table, "removed", row["id"], None)
            if table != "coordinate":
                edit.record.causes[scan].add((table, "removed", row["id"]))


def regenerate_in_place(edit: Editor) -> None:
    image = edit.image(0, reviewed_by="coordinate")
    image["img"] = other_picture(image["img"])
    edit.record.note("image", "changed", image["id"], image["id"], "img")
    note_stale(edit, image, PICTURE_CHANGED)


def note_stale(edit: Editor, image: dict[str, Any], reason: str) -> None:
    for row in edit.reviews("rating", image["id"]):
        edit.record.stale.add(("rating", (row["id"],), reason))
    clicks = sorted(edit.reviews("coordinate", image["id"]), key=lambda row: row["session"])
    for _, rows in itertools.groupby(clicks, lambda row: row["session"]):
        ids = tuple(sorted(row["id"] for row in rows))
        edit.record.stale.add(("coordinate", ids, reason))


def other_picture(data: bytes) -> bytes:
    image = PillowImage.open(io.BytesIO(data)).convert("RGBA")
    image.putpixel((0, 0), (255, 0, 255, 255))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def re_encode(edit: Editor) -> None:
    image = edit.image(0, reviewed_by="coordinate")
    out = io.BytesIO()
    PillowImage.open(io.BytesIO(image["img"])).save(out, "PNG", compress_level=0)
    assert out.getvalue() != image["img"]
    image["img"] = out.getvalue()
    edit.record.note("image", "changed", image["id"], image["id"], "img")
    edit.record.re_encoded.add(image["id"])


def recreate_under_a_new_id(edit: Editor) -> None:
    image = edit.image(1, reviewed_by="coordinate")
    old_id = image["id"]
    for table in ("rating", "coordinate"):
        for row in edit.reviews(table, old_id):
            edit.rows[table].remove(row)
            edit.record.note(table, "removed", row["id"], None)
    image.update(id=next(edit.ids), img=other_picture(image["img"]), created=LATER)
    edit.record.note("image", "rekeyed", old_id, image["id"], "created", "img")
    # A review that was inserted late, but is older than the picture.
    early = edit.rows["session"][0]
    row = rate(edit, image, early["id"], rating=0)
    row["created"] = early["created"]
    edit.record.stale.add(("rating", (row["id"],), OLDER))


def rekey_with_reviews_following(edit: Editor) -> None:
    image = edit.image(2, reviewed_by="coordinate")
    old_id, image["id"] = image["id"], next(edit.ids)
    for table in ("rating", "coordinate"):
        for row in edit.reviews(table, old_id):
            row["img_id"] = image["id"]
    edit.record.note("image", "rekeyed", old_id, image["id"])


def correct_all_fails(edit: Editor) -> None:
    images = edit.target(FMAP, lambda images: 2 in edit.verdicts(images))
    scan = scan_of(images[0])
    edit.record.verdicts["no_longer_excluded"].add(scan)
    edit.record.causes[scan] = set()
    for row in edit.reviews("rating", *(image["id"] for image in images)):
        if row["rating"] == 2:
            row["rating"] = 0
            edit.record.note("rating", "changed", row["id"], row["id"], "rating")
            edit.record.causes[scan].add(("rating", "changed", row["id"]))


def fail_passed_images(edit: Editor) -> None:
    images = edit.target(
        FMAP, lambda images: bool(edit.verdicts(images)) and 2 not in edit.verdicts(images)
    )
    scan = scan_of(images[0])
    row = min(edit.reviews("rating", *(i["id"] for i in images)), key=lambda row: row["id"])
    row["rating"] = 2
    edit.record.note("rating", "changed", row["id"], row["id"], "rating")
    edit.record.verdicts["newly_excluded"].add(scan)
    edit.record.causes[scan] = {("rating", "changed", row["id"])}


def add_missing_users(edit: Editor) -> None:
    session = next(row for row in edit.rows["session"] if row["user"] is None)
    session["user"] = "found out"
    edit.record.note("session", "changed", session["id"], session["id"], "user")


def click_once_more(edit: Editor) -> None:
    image = edit.image(1, reviewed_by="coordinate")
    model = edit.reviews("coordinate", image["id"])[0]
    extra = {**model, "id": next(edit.ids), "x": 1.5, "y": 2.5}
    edit.rows["coordinate"].append(extra)
    edit.record.note("coordinate", "added", None, extra["id"])


def use_an_id_again(edit: Editor) -> None:
    row = max(edit.rows["coordinate"], key=lambda row: (row["id"] < 900_000, row["id"]))
    row["created"] += dt.timedelta(microseconds=1)
    edit.record.note("coordinate", "removed", row["id"], None)
    edit.record.note("coordinate", "added", None, row["id"])


def regenerate_one_of_equal_keys(edit: Editor) -> None:
    movies = [row for row in edit.rows["image"] if row["step"] == 4]
    names = [row["file1"] for row in movies]
    twins = sorted(
        (row for row in movies if names.count(row["file1"]) == 2), key=lambda row: row["id"]
    )
    (_, second) = twins
    second["img"] = other_picture(second["img"])
    edit.record.note("image", "changed", second["id"], second["id"], "img")
    note_stale(edit, second, PICTURE_CHANGED)


EDITS = (
    add_a_subject,
    remove_images_with_their_reviews,
    regenerate_in_place,
    re_encode,
    recreate_under_a_new_id,
    rekey_with_reviews_following,
    correct_all_fails,
    fail_passed_images,
    add_missing_users,
    click_once_more,
    regenerate_one_of_equal_keys,
    use_an_id_again,
)


@dataclasses.dataclass
class Pair:
    """Two releases on disk, and the edits between them."""

    old: Path
    new: Path
    record: Record


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    tables = sample.make_tables(subjects=6, slices=1, picture_size=(48, 36), frames=2, reviewed=1.0)
    old = sample.write_tables(tables, folder / "old")
    edit = Editor(tables)
    for change in EDITS:
        change(edit)
    new = sample.write_tables(edit.tables(), folder / "new")
    return Pair(old, new, edit.record)


@pytest.fixture(scope="module")
def loaded(
    pair: Pair, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], sa.URL]]:
    """Load both releases into both engines."""
    folder = tmp_path_factory.mktemp("loaded-pair")
    server = database.parse_url(postgres_server)
    urls = {}
    for which, release in (("old", pair.old), ("new", pair.new)):
        urls["sqlite", which] = database.parse_url(folder / f"{which}.db")
        options = {"options": f"-csearch_path=diff_{which}"}
        urls["postgres", which] = server.update_query_dict(options)
        for engine in ("sqlite", "postgres"):
            dm.load(release, urls[engine, which], replace=True)
    yield urls
    with database.engine(server).begin() as connection:
        for which in ("old", "new"):
            connection.execute(sa.text(f"DROP SCHEMA diff_{which} CASCADE"))


@pytest.fixture(params=ENGINE_PAIRS, ids="-".join)
def found(
    request: pytest.FixtureRequest, loaded: dict[tuple[str, str], sa.URL]
) -> Iterator[differences.Differences]:
    """Compare both releases, on each pair of engines."""
    one, other = request.param
    with dm.diff(loaded[one, "old"], loaded[other, "new"]) as opened:
        yield opened


def unit(change: differences.VerdictChange) -> tuple[Any, ...]:
    return tuple(change.unit.values())


# -- the record


def test_rows_that_differ_are_the_edited_ones(found: differences.Differences, pair: Pair) -> None:
    reported = {
        (
            table,
            row.change.value,
            row.old and row.old.id,
            row.new and row.new.id,
            tuple(row.columns),
        )
        for table in TABLES
        for row in found.rows(table)
    }

    assert reported == {
        (*start, tuple(sorted(names, key=row_order))) for *start, names in pair.record.rows
    }


def row_order(name: str) -> int:
    return ["user", "created", "img", "rating"].index(name)


def test_counts_are_those_of_the_edits(found: differences.Differences, pair: Pair) -> None:
    counts = found.count()

    for table in TABLES:
        for change in NO_CHANGE:
            expected = sum(row[:2] == (table, change) for row in pair.record.rows)
            assert getattr(counts[table], change) == expected, (table, change)
        n_old = sum(1 for _ in found.old.rows(table))
        reported = counts[table]
        assert reported.unchanged + reported.removed + reported.changed + reported.rekeyed == n_old


def test_pictures_with_equal_pixels_are_re_encoded(
    found: differences.Differences, pair: Pair
) -> None:
    reported = {row.new.id for row in found.rows("image") if row.re_encoded}

    assert reported == pair.record.re_encoded


def test_verdicts_change_as_recorded(found: differences.Differences, pair: Pair) -> None:
    reported: dict[str, set[Any]] = {kind: set() for kind in pair.record.verdicts}
    for change in found.verdicts():
        for kind in change.kinds:
            reported[kind].add(unit(change))

    assert reported == pair.record.verdicts


def test_verdicts_come_with_the_rows_that_caused_them(
    found: differences.Differences, pair: Pair
) -> None:
    reported = {
        unit(change): {(row.table, row.change.value, row.row.id) for row in change.rows}
        for change in found.verdicts()
    }

    assert reported == pair.record.causes


def test_long_texts_with_the_same_start_are_not_equal() -> None:
    start = "x" * 1_000

    one, same, other = (shortened(f"{start}{end}") for end in ("a", "a", "b"))

    assert one == same
    assert one != other
    assert str(one) == str(other) == f"{start[:500]}… (501 more characters)"


def test_the_rows_that_decide_come_first(found: differences.Differences) -> None:
    excluded = [change for change in found.verdicts() if "newly_excluded" in change.kinds]

    first = [change.rows[0] for change in excluded]
    assert len(excluded) > 1
    assert {(row.table, row.new.rating) for row in first} == {("rating", dm.Ratings.FAIL)}
    for change in excluded:
        tables = [row.table for row in change.rows]
        assert tables == sorted(tables, key=["rating", "coordinate", "image", "session"].index)


def test_pictures_of_a_change_are_in_the_order_of_their_slices(
    found: differences.Differences,
) -> None:
    for change in found.verdicts():
        images = [row.row for row in change.rows if row.table == "image"]
        places = [(image.file1, image.display, image.slice or 0) for image in images]
        assert places == sorted(places)


def test_stale_reviews_are_those_of_the_edits(found: differences.Differences, pair: Pair) -> None:
    reported = {
        (review.table, tuple(review.ids), review.reason) for review in found.stale_reviews()
    }

    assert reported == pair.record.stale


# -- nothing differs


@pytest.mark.parametrize(("one", "other"), ENGINE_PAIRS)
def test_the_same_release_does_not_differ(
    one: str, other: str, loaded: dict[tuple[str, str], sa.URL]
) -> None:
    with dm.diff(loaded[one, "new"], loaded[other, "new"]) as found:
        assert not found.are_there()
        assert list(found.verdicts()) == []
        assert list(found.stale_reviews()) == []


def test_a_database_does_not_differ_from_its_own_folder(
    pair: Pair, loaded: dict[tuple[str, str], sa.URL]
) -> None:
    with dm.diff(pair.old, loaded["postgres", "old"]) as found:
        assert not found.are_there()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_images_that_another_program_added_are_not_left_out(
    engine: str, new_database: Callable[[str], sa.URL]
) -> None:
    url = new_database(engine)
    with database.engine(url).begin() as connection:
        same = {"step": 0, "file1": "mask.nii.gz", "display": 0, "created": LATER, "img": b"new"}
        connection.execute(sa.insert(dm.Image.__table__), {"id": 10**6, **same})

    with pytest.raises(dm.DatabaseError) as caught, dm.diff(url, url):
        pass

    place = database.display(url)
    assert str(caught.value) == (
        f"{place} has 1 images, but its table picture describes 0; another program wrote to it; "
        f"run: dirtmodel refresh --db {shlex.quote(place)}"
    )


@pytest.fixture
def new_database(postgres_server: str, tmp_path: Path) -> Iterator[Callable[[str], sa.URL]]:
    """Create empty databases."""
    server = database.parse_url(postgres_server)

    def create(engine: str) -> sa.URL:
        url = server.update_query_dict({"options": "-csearch_path=diff_empty"})
        if engine == "sqlite":
            url = database.parse_url(tmp_path / "empty.db")
        else:
            with database.engine(server).begin() as connection:
                connection.execute(sa.text("CREATE SCHEMA diff_empty"))
        with database.engine(url).begin() as connection:
            database.migrate(connection)
        return url

    yield create
    with database.engine(server).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA IF EXISTS diff_empty CASCADE"))


# -- the command


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.main, ["diff", *map(str, arguments)])


@pytest.fixture
def paths(loaded: dict[tuple[str, str], sa.URL]) -> tuple[str, str]:
    return str(loaded["sqlite", "old"].database), str(loaded["sqlite", "new"].database)


def test_the_exit_code_is_1_if_anything_differs(paths: tuple[str, str]) -> None:
    old, new = paths

    assert run(old, new).exit_code == 1
    assert run(old, old).exit_code == 0
    assert run(old, f"{new}-missing").exit_code == 2


def test_the_exit_code_concerns_what_was_requested(paths: tuple[str, str]) -> None:
    old, new = paths

    assert run(old, new, "--table", "rating").exit_code == 1
    assert run(old, old, "--table", "rating").exit_code == 0
    assert run(old, new, "--verdicts").exit_code == 1
    assert run(old, new, "--verdicts", "--step", "dtifit").exit_code == 0


def test_json_has_the_documented_structure(paths: tuple[str, str], pair: Pair) -> None:
    reported = json.loads(run(*paths, "--format", "json").stdout)

    assert list(reported) == ["old", "new", "schema", "tables", "verdicts", "stale_reviews"]
    assert list(reported["tables"]) == list(TABLES)
    for table, said in reported["tables"].items():
        assert list(said) == ["added", "removed", "changed", "rekeyed", "unchanged", "rows"]
        assert len(said["rows"]) == sum(row[0] == table for row in pair.record.rows)
    assert list(reported["verdicts"]) == list(differences.verdicts.KINDS)
    assert len(reported["stale_reviews"]) == len(pair.record.stale)
    assert reported["schema"] == []
    revision = database.known_revisions()[-1]
    assert reported["old"] == {"place": paths[0], "label": "old", "revision": revision}


def test_json_of_a_corrected_verdict(paths: tuple[str, str]) -> None:
    reported = json.loads(run(*paths, "--format", "json").stdout)

    (change,) = reported["verdicts"]["no_longer_excluded"]
    assert change["old"]["status"] == "excluded"
    assert change["new"]["status"] != "excluded"
    assert {json.dumps(row["columns"]) for row in change["rows"]} == {
        '{"rating": {"old": "FAIL", "new": "PASS"}}'
    }


def test_the_suffix_of_a_file_selects_json(paths: tuple[str, str], tmp_path: Path) -> None:
    shown = run(*paths, "--format", "json").stdout

    run(*paths, "-o", tmp_path / "diff.json")

    assert (tmp_path / "diff.json").read_text() == shown


def test_a_table_has_a_row_per_changed_column(paths: tuple[str, str]) -> None:
    reported = run(*paths, "--table", "session", "--format", "csv").stdout.splitlines()

    assert reported[0] == ("change,old_id,new_id,step,user,created,column,old,new,re_encoded")
    assert [line.split(",")[0] for line in reported[1:]] == ["changed", "added"]
    assert reported[1].endswith(",user,,found out,")


def test_verdicts_name_the_scan_and_the_cause(paths: tuple[str, str]) -> None:
    reported = run(*paths, "--verdicts", "--format", "csv").stdout.splitlines()

    assert reported[0] == "change,sub,ses,task,run,scan,old_status,new_status,n_rows,rows"
    assert sum(line.startswith("newly_excluded") for line in reported) == 2
    assert any("rating PASS → FAIL" in line or "rating UNSURE → FAIL" in line for line in reported)


def test_verdicts_list_each_scan_once_and_in_words(paths: tuple[str, str]) -> None:
    reported = list(csv.reader(run(*paths, "--verdicts", "--format", "csv").stdout.splitlines()))

    scans = [tuple(line[1:6]) for line in reported[1:]]
    assert len(scans) == len(set(scans))
    assert [line[0] for line in reported if " " in line[0]] == ["newly_excluded newly_reviewed"]
    assert not [line for line in reported if "None" in line[-1]]


def test_verdicts_can_be_those_of_some_targets(paths: tuple[str, str]) -> None:
    everywhere = run(*paths, "--verdicts", "--format", "csv").stdout.splitlines()
    sub = everywhere[1].split(",")[1]

    reported = run(*paths, "--verdicts", "--format", "csv", "--sub", sub).stdout.splitlines()

    assert reported == [line for line in everywhere if line.split(",")[1] in {"sub", sub}]
    assert 1 < len(reported) < len(everywhere)


def test_a_participant_that_neither_side_has_is_rejected(paths: tuple[str, str]) -> None:
    reported = run(*paths, "--verdicts", "--sub", "nobody")

    assert (reported.exit_code, reported.stdout) == (2, "")
    assert "there is no target with sub nobody" in reported.stderr


def test_the_summary_counts_what_to_look_at(paths: tuple[str, str]) -> None:
    reported = run(*paths).stdout

    assert "1 re-encoded picture: different bytes, equal pixels" in reported
    assert "2 scans newly excluded; see --verdicts" in reported
    assert "stale reviews: judged an earlier picture" in reported


def test_no_pixels_reads_no_pictures(
    paths: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(differences.sides.Side, "picture")

    assert "re-encoded" not in run(*paths, "--no-pixels").stdout


def test_table_and_verdicts_do_not_go_together(paths: tuple[str, str]) -> None:
    reported = run(*paths, "--table", "rating", "--verdicts")

    assert reported.exit_code == 2
    assert "--table and --verdicts cannot be used together; use one of them" in reported.stderr


def test_temporary_databases_are_removed(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert run(pair.old, pair.new, "--no-pixels").exit_code == 1

    assert list(tmp_path.iterdir()) == []
