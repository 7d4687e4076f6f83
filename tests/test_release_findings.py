"""Every finding: its cause, its text, and whether the release can be loaded.

Each case makes one change to a sound release.
"""

import base64
import datetime as dt
import functools
import io
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import dirtmodel as dm
from dirtmodel import cli, models, sample
from dirtmodel import release as releases
from dirtmodel.release.findings import ERRORS, FATAL, MAX_EXAMPLE_LENGTH, WARNINGS, describe
from dirtmodel.release.layout import QC_FOLDER, ReleaseFiles
from dirtmodel.release.memory import NARROW_ROWS
from dirtmodel.release.parts import Part
from dirtmodel.release.tables import InvalidReleaseError

Tables = dict[str, Any]
NEW = 1_000_000
"""An id that is unused in all tables."""


@pytest.fixture(scope="module")
def sound() -> Tables:
    """Return four tables without any finding."""
    made = sample.make_tables(
        hazards=False, subjects=2, slices=1, pictures="tiny", picture_size=(1000, 1000)
    )
    # The clicks were made on larger pictures than the tiny ones.
    coordinate = made["coordinate"]
    for axis in ("x", "y"):
        at = coordinate.column_names.index(axis)
        values = [None if v.as_py() is None else 0.5 for v in coordinate[axis]]
        coordinate = coordinate.set_column(at, axis, pa.array(values, pa.float64()))
    return {**made, "coordinate": coordinate}


def write(tables: Tables, folder: Path) -> Path:
    return sample.write_tables(tables, folder / "release", empty_rows=0)


def check(release: Path, *, extend: bool = False) -> list[releases.Finding]:
    return releases.check(release, extend=extend)


def append(table: Any, like: int = 0, **values: Any) -> Any:
    """Append a row: a copy of an earlier one with other values."""
    row = {**table.slice(like, 1).to_pylist()[0], **values}
    return pa.concat_tables([table, pa.Table.from_pylist([row], table.schema)])


def with_column(table: Any, name: str, values: Any) -> Any:
    return table.set_column(table.column_names.index(name), name, values)


def last(table: Any) -> int:
    """Return the number of the row that `append` adds."""
    return len(table) + 1


def first_of_step(table: Any, *steps: int) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in table.to_pylist() if row["step"] in steps)
    return row


@dataclass(frozen=True)
class Case:
    """A change to a sound release, and the one finding that it causes."""

    code: str
    file: str
    example: str | None
    tables: Callable[[Tables], Tables] = dict
    files: Callable[[Path], object] = lambda _folder: None
    extend: bool = False


def appended(table: str, **values: Any) -> Callable[[Tables], Tables]:
    return lambda t: {**t, table: append(t[table], **values)}


def dropped(table: str, column: str) -> Callable[[Tables], Tables]:
    return lambda t: {**t, table: t[table].drop_columns([column])}


def _time_created(tables: Tables) -> Tables:
    rating = tables["rating"]
    return {
        **tables,
        "rating": with_column(rating, "created", rating["created"].cast("time64[us]")),
    }


def _x_as_text(tables: Tables) -> Tables:
    values = ["abc", *(["0.5"] * (len(tables["coordinate"]) - 1))]
    y = pa.array([0.5] * len(values))
    coordinate = with_column(tables["coordinate"], "x", pa.array(values))
    return {**tables, "coordinate": with_column(coordinate, "y", y)}


def _dtifit_again(tables: Tables) -> Tables:
    image = tables["image"]
    row = image["step"].to_pylist().index(4)
    return {**tables, "image": append(image, row, id=NEW)}


def _review(kind: str, image_step: int, session_step: int) -> Callable[[Tables], Tables]:
    """Add a review of the first image of a step in a new session of another step."""

    def change(tables: Tables) -> Tables:
        image = first_of_step(tables["image"], image_step)["id"]
        return {
            **tables,
            "session": append(tables["session"], id=NEW, step=session_step),
            kind: append(tables[kind], id=NEW, img_id=image, session=NEW),
        }

    return change


def _large_page(folder: Path) -> None:
    path = folder / "image.parquet"
    path.write_bytes(_in_one_page(path.read_bytes()))


@functools.cache
def _in_one_page(content: bytes) -> bytes:
    """Write 180 MB of pictures into one page, compressed in a way that Arrow alone reads."""
    image = pq.read_table(io.BytesIO(content))
    first = image["img"].to_pylist()
    padded = [img + bytes(180_000_000 // len(first)) for img in first]
    image = with_column(image, "img", pa.array(padded, pa.large_binary()))
    file = io.BytesIO()
    pq.write_table(image, file, use_dictionary=False, compression="lz4")
    return file.getvalue()


def _empty_row(tables: Tables) -> Tables:
    nothing = dict.fromkeys(tables["session"].column_names)
    return {**tables, "session": append(tables["session"], **nothing)}


def _extra(tables: Tables) -> Tables:
    flags = pa.array([True] * len(tables["rating"]))
    return {**tables, "rating": tables["rating"].append_column("flag", flags)}


def _reserved(tables: Tables) -> Tables:
    numbers = pa.array([1] * len(tables["rating"]))
    return {**tables, "rating": tables["rating"].append_column("ctid", numbers)}


CASES = [
    # -- errors
    Case(
        "missing-file",
        "rating.parquet",
        "{folder}/rating.parquet",
        files=lambda folder: (folder / "rating.parquet").unlink(),
    ),
    Case(
        "unreadable-file",
        "rating.parquet",
        "rating.parquet: it is empty; copy it again",
        files=lambda folder: (folder / "rating.parquet").write_bytes(b""),
    ),
    Case(
        "missing-column",
        "session.parquet",
        "session.parquet has no column user",
        dropped("session", "user"),
    ),
    Case(
        "wrong-type",
        "rating.parquet",
        "rating.parquet column created is time64[us], which cannot hold timestamps",
        _time_created,
    ),
    Case(
        "bad-value",
        "coordinate.parquet",
        "coordinate.parquet row 1: x 'abc' does not fit a column of numbers",
        _x_as_text,
    ),
    Case(
        "null-id",
        "rating.parquet",
        "rating.parquet row {rating}: id is NULL",
        appended("rating", id=None),
    ),
    Case(
        "null-value",
        "rating.parquet",
        "rating.parquet row {rating}: rating is NULL",
        appended("rating", id=NEW, rating=None),
    ),
    Case(
        "nul-character",
        "rating.parquet",
        "rating.parquet row {rating}: notes contains a NUL character",
        appended("rating", id=NEW, notes="a\0b"),
    ),
    Case(
        "unknown-enum",
        "rating.parquet",
        "rating.parquet row {rating}: rating 5 is not PASS (0), UNSURE (1) or FAIL (2)",
        appended("rating", id=NEW, rating=5),
    ),
    Case(
        "duplicate-id",
        "rating.parquet",
        "rating.parquet row {rating}: an earlier row also has id {rating_id}",
        appended("rating"),
    ),
    Case(
        "duplicate-image",
        "image.parquet",
        "image.parquet row {image}: an earlier row also has slice {slice}, file1 '{file1}', "
        "display {display}, step {step}",
        appended("image", id=NEW),
    ),
    Case(
        "missing-image",
        "coordinate.parquet",
        "coordinate.parquet row {coordinate}: image 1000000 does not exist or could not be loaded",
        appended("coordinate", id=NEW, img_id=NEW),
    ),
    Case(
        "missing-session",
        "rating.parquet",
        "rating.parquet row {rating}: session 1000000 does not exist or could not be loaded",
        appended("rating", id=NEW, session=NEW),
    ),
    Case(
        "bad-picture",
        "image.parquet",
        "image.parquet row {image}: image 1000000: the picture is neither PNG nor GIF",
        appended("image", id=NEW, slice=99, img=b"%PDF-1.7"),
    ),
    # -- warnings
    Case("empty-rows", "session.parquet", None, _empty_row),
    Case(
        "large-pages",
        "image.parquet",
        "image.parquet: reading it takes about 0.4 GB",
        files=_large_page,
    ),
    Case(
        "no-notes",
        "rating.parquet",
        "rating.parquet has no column notes",
        dropped("rating", "notes"),
    ),
    Case("extra-column", "rating.parquet", "rating.parquet column flag (bool)", _extra),
    Case(
        "unkept-column",
        "rating.parquet",
        "rating.parquet column 'ctid': Postgres reserves its name",
        _reserved,
    ),
    Case(
        "kept-number",
        "rating.parquet",
        "rating.parquet row {rating}: rating 5 is kept as RATING_5",
        appended("rating", id=NEW, rating=5),
        extend=True,
    ),
    Case(
        "no-rater",
        "session.parquet",
        "session.parquet row {session}: session 1000000 has no user",
        appended("session", id=NEW, user=None),
    ),
    Case(
        "similar-raters",
        "session.parquet",
        "session.parquet: 'ADA ', 'ada'",
        lambda t: appended("session", id=NEW, user="ADA ")(
            appended("session", id=NEW + 1, user="ada")(t)
        ),
    ),
    Case(
        "repeated-image",
        "image.parquet",
        "image.parquet row {image}: an earlier row also has slice None, file1 '{dtifit}', "
        "display 2, step 4",
        _dtifit_again,
    ),
    Case(
        "no-entities",
        "image.parquet",
        "image.parquet row {image}: file1 'brain.nii.gz'",
        appended("image", id=NEW, file1="brain.nii.gz"),
    ),
    Case(
        "session-step",
        "rating.parquet",
        "rating.parquet row {rating}: image {fmap} is of FMAP_COREGISTRATION, session 1000000 of "
        "DTIFIT",
        _review("rating", 3, 4),
    ),
    Case(
        "crossed-table",
        "rating.parquet",
        "rating.parquet row {rating}: a verdict on image {mask} of MASK",
        _review("rating", 0, 0),
    ),
    Case(
        "half-click",
        "coordinate.parquet",
        "coordinate.parquet row {coordinate}: (0.5, None)",
        appended("coordinate", id=NEW, x=0.5, y=None),
    ),
    Case(
        "non-finite-click",
        "coordinate.parquet",
        "coordinate.parquet row {coordinate}: (inf, 0.5)",
        appended("coordinate", id=NEW, x=float("inf"), y=0.5),
    ),
    Case(
        "off-picture-click",
        "coordinate.parquet",
        "coordinate.parquet row {coordinate}: (-0.28, 0.5) on {size} pixels",
        appended("coordinate", id=NEW, x=-0.28, y=0.5),
    ),
    Case(
        "copy-escapes",
        "rating.parquet",
        "rating.parquet row {rating}: 'one\\\\r\\\\ntwo'",
        appended("rating", id=NEW, notes="one\\r\\ntwo"),
    ),
]
by_code = pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)


def words(tables: Tables, folder: Path) -> dict[str, Any]:
    """The values that the examples of the cases refer to."""
    image = tables["image"].slice(0, 1).to_pylist()[0]
    clicked = tables["coordinate"]["img_id"][0].as_py()
    picture = next(r["img"] for r in tables["image"].to_pylist() if r["id"] == clicked)
    width, height = _png_size(picture)
    return {
        **{table: last(tables[table]) for table in tables},
        **{key: image[key] for key in ("slice", "file1", "display", "step")},
        "rating_id": tables["rating"]["id"][0],
        "dtifit": first_of_step(tables["image"], 4)["file1"],
        "fmap": first_of_step(tables["image"], 3)["id"],
        "mask": first_of_step(tables["image"], 0)["id"],
        "size": f"{width}×{height}",
        "folder": folder,
    }


def _png_size(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_every_code_has_a_case() -> None:
    assert [case.code for case in CASES] == [*ERRORS, *WARNINGS]


def test_nothing_is_found_in_a_sound_release(sound: Tables, tmp_path: Path) -> None:
    assert check(write(sound, tmp_path)) == []


@by_code
def test_a_fault_causes_its_finding_and_no_other(case: Case, sound: Tables, tmp_path: Path) -> None:
    release = write(case.tables(sound), tmp_path)
    case.files(release / QC_FOLDER)

    (found,) = check(release, extend=case.extend)

    assert found.code == case.code
    assert found.severity == ("error" if case.code in ERRORS else "warning")
    assert found.file == case.file
    assert found.message == {**ERRORS, **WARNINGS}[case.code]
    assert found.n == 1
    expected = case.example and case.example.format(**words(sound, release / QC_FOLDER))
    assert found.examples == (() if expected is None else (expected,))


@by_code
def test_a_release_with_errors_is_refused_and_one_with_warnings_loaded(
    case: Case, sound: Tables, tmp_path: Path
) -> None:
    release = write(case.tables(sound), tmp_path)
    case.files(release / QC_FOLDER)
    expected = check(release, extend=case.extend)
    db = tmp_path / "databases" / "dirt.db"
    db.parent.mkdir()

    if case.code in WARNINGS:
        assert dm.load(release, db, extend=case.extend).findings == expected
        return
    with pytest.raises(InvalidReleaseError) as caught:
        dm.load(release, db)

    assert caught.value.findings == expected
    assert list(db.parent.iterdir()) == []


@by_code
def test_quarantine_loads_the_sound_rows_unless_the_release_cannot_be_read(
    case: Case, sound: Tables, tmp_path: Path
) -> None:
    release = write(case.tables(sound), tmp_path)
    case.files(release / QC_FOLDER)
    db = tmp_path / "dirt.db"

    if case.code in FATAL:
        with pytest.raises(InvalidReleaseError):
            dm.load(release, db, quarantine=True)
        assert not db.exists()
        return
    loaded = dm.load(release, db, quarantine=True, extend=case.extend)

    assert loaded.n_quarantined == (case.code in ERRORS)
    with dm.open(db) as session:
        kept = session.execute(sa.select(models.Quarantine.code)).scalars().all()
    assert kept == ([case.code] if case.code in ERRORS else [])


def test_a_refusal_lists_the_findings_and_says_what_to_do(sound: Tables, tmp_path: Path) -> None:
    release = write(appended("rating", id=NEW, session=NEW)(sound), tmp_path)

    with pytest.raises(dm.ReleaseError) as caught:
        dm.load(release, tmp_path / "dirt.db")

    row = last(sound["rating"])
    assert str(caught.value) == (
        f"{release / QC_FOLDER} has 1 error; nothing was loaded; repair the release, or load only "
        "the rows without errors with --quarantine:\n"
        "error    missing-session    rating.parquet      1  a row whose session does not exist or "
        "could not be loaded\n"
        f"           rating.parquet row {row}: session {NEW} does not exist or could not be loaded"
    )


def test_the_advice_for_an_unreadable_release_is_to_copy_it_again(
    sound: Tables, tmp_path: Path
) -> None:
    release = write(sound, tmp_path)
    for file in ("rating.parquet", "session.parquet"):
        (release / QC_FOLDER / file).unlink()

    with pytest.raises(dm.ReleaseError) as caught:
        dm.load(release, tmp_path / "dirt.db", quarantine=True)

    folder = release / QC_FOLDER
    assert str(caught.value) == (
        f"{folder} has 2 errors; nothing was loaded; repair the release, or copy it again:\n"
        "error    missing-file       rating.parquet      1  a file of the release is missing\n"
        f"           {folder / 'rating.parquet'}\n"
        "error    missing-file       session.parquet     1  a file of the release is missing\n"
        f"           {folder / 'session.parquet'}"
    )


# -- counts and examples


def test_all_are_counted_and_the_first_five_are_examples(sound: Tables, tmp_path: Path) -> None:
    rating = with_column(sound["rating"], "session", pa.array([NEW] * len(sound["rating"])))
    release = write({**sound, "rating": rating}, tmp_path)

    (found,) = check(release)

    assert found.n == len(rating) > 5
    assert [example.partition(":")[0] for example in found.examples] == [
        f"rating.parquet row {row}" for row in range(1, 6)
    ]
    assert describe([found]).endswith(f"and {len(rating) - 5:,} more")


def test_rows_are_numbered_through_all_batches(sound: Tables, tmp_path: Path) -> None:
    session = pa.concat_tables([sound["session"]] * (40_000 // len(sound["session"])))
    session = with_column(session, "id", pa.array(range(len(session))))
    session = with_column(session, "step", pa.array([3] * (len(session) - 1) + [9]))
    release = write({**sound, "session": session}, tmp_path)

    found = {finding.code: finding for finding in check(release)}

    assert found["unknown-enum"].examples[0].startswith(f"session.parquet row {len(session)}: ")


def test_long_examples_are_cut(sound: Tables, tmp_path: Path) -> None:
    release = write(appended("rating", id=NEW, notes="\\n" * 10_000)(sound), tmp_path)

    (found,) = check(release)

    assert len(found.examples[0]) == MAX_EXAMPLE_LENGTH


def test_one_row_can_have_several_faults(sound: Tables, tmp_path: Path) -> None:
    release = write(appended("rating", rating=5, session=NEW, notes="\0")(sound), tmp_path)

    found = check(release)

    codes = ["nul-character", "unknown-enum", "duplicate-id", "missing-session"]
    assert [(finding.code, finding.n) for finding in found] == [(code, 1) for code in codes]


def test_errors_come_before_warnings_each_in_the_documented_order(
    release: Path, copy_of_release: Callable[[], Path]
) -> None:
    damaged = copy_of_release()
    path = damaged / QC_FOLDER / "rating.parquet"
    rating = pq.read_table(path)
    pq.write_table(with_column(rating, "rating", pa.array([3] * len(rating))), path)

    found = [finding.code for finding in check(damaged)]

    order = [*ERRORS, *WARNINGS]
    assert found == sorted(found, key=order.index)
    assert found[0] in ERRORS
    never = {
        *("large-pages", "no-notes", "extra-column", "unkept-column", "kept-number"),
        "similar-raters",
    }
    assert set(WARNINGS) - never <= {f.code for f in check(release)}


@pytest.mark.parametrize("quiet", [False, True])
def test_memory_is_announced_at_once_unless_quiet(
    quiet: bool, release: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        ReleaseFiles, "n_bytes_held", lambda _, table: 10**9 if table == "image" else 0
    )

    result = CliRunner().invoke(cli.main, ["check", str(release), *["--quiet"][:quiet]])

    announced = (
        "warning  large-pages        image.parquet       1  a file with large pages, so that "
        "reading it takes much memory\n"
        "           image.parquet: reading it takes about 1.2 GB"
    )
    assert announced in result.stdout
    assert caplog.messages == ([] if quiet else [announced])


# -- NULL in all its kinds


def test_nan_is_null_also_where_an_id_is_missing(sound: Tables, tmp_path: Path) -> None:
    ids = sound["rating"]["id"].to_pylist()
    rating = with_column(sound["rating"], "id", pa.array([float("nan"), *map(float, ids[1:])]))
    release = write({**sound, "rating": rating}, tmp_path)

    (found,) = check(release)

    assert (found.code, found.examples) == ("null-id", ("rating.parquet row 1: id is NULL",))


def test_rows_of_only_nan_and_null_are_empty(sound: Tables, tmp_path: Path) -> None:
    nothing = dict.fromkeys(sound["coordinate"].column_names)
    coordinate = append(sound["coordinate"], **nothing)
    floats = [float("nan") if v is None else float(v) for v in coordinate["id"].to_pylist()]
    coordinate = with_column(coordinate, "id", pa.array(floats))
    release = write({**sound, "coordinate": coordinate}, tmp_path)

    (found,) = check(release)

    assert (found.code, found.n) == ("empty-rows", 1)


@pytest.mark.parametrize("column", ["img", "file1", "display", "step", "created"])
def test_a_row_is_empty_only_if_all_of_it_is(column: str, sound: Tables, tmp_path: Path) -> None:
    image = sound["image"]
    nothing = dict.fromkeys(image.column_names)
    value = image[column][0].as_py()
    release = write({**sound, "image": append(image, **{**nothing, column: value})}, tmp_path)

    found = check(release)

    assert "empty-rows" not in {finding.code for finding in found}
    assert found[0].examples == (f"image.parquet row {last(image)}: id is NULL",)


@pytest.mark.parametrize("table", ["session", "image", "rating", "coordinate"])
@pytest.mark.parametrize("empty_rows", [0, 3])
def test_tables_without_rows_are_sound(
    table: str, empty_rows: int, sound: Tables, tmp_path: Path
) -> None:
    cascade = {"session": ["rating", "coordinate"], "image": ["rating", "coordinate"]}
    emptied = {name: sound[name].slice(0, 0) for name in [table, *cascade.get(table, [])]}
    release = sample.write_tables({**sound, **emptied}, tmp_path / "r", empty_rows=empty_rows)

    loaded = dm.load(release, tmp_path / "dirt.db")

    assert {finding.code for finding in loaded.findings} == (
        {"empty-rows"} if empty_rows else set()
    )
    assert loaded.n_rows == {n: 0 if n in emptied else len(sound[n]) for n in loaded.n_rows}


@pytest.mark.parametrize("null_types", [False, True])
def test_a_release_without_any_rows_is_loaded(
    null_types: bool, sound: Tables, tmp_path: Path
) -> None:
    empty = {name: table.slice(0, 0) for name, table in sound.items()}
    if null_types:
        empty = {
            name: pa.table({column: pa.nulls(3) for column in table.column_names})
            for name, table in sound.items()
        }
    release = write(empty, tmp_path)

    loaded = dm.load(release, tmp_path / "dirt.db")

    assert loaded.n_rows == dict.fromkeys(["session", "image", "rating", "coordinate"], 0)


def test_a_null_in_a_key_does_not_make_a_sound_row_a_duplicate(
    sound: Tables, tmp_path: Path
) -> None:
    first = {"id": NEW, "file1": "sub-1_new", "display": None, "step": 0, "slice": 0}
    second = {**first, "id": NEW + 1, "display": 0}
    table = append(append(sound["image"], **first), **second)
    release = write({**sound, "image": table}, tmp_path)

    (found,) = check(release)

    assert (found.code, found.n) == ("null-value", 1)


# -- columns


def test_two_columns_of_the_same_name_are_refused(sound: Tables, tmp_path: Path) -> None:
    rating = sound["rating"].append_column("rating", sound["rating"]["rating"])
    release = write(sound, tmp_path)
    pq.write_table(rating, release / QC_FOLDER / "rating.parquet")

    (found,) = check(release)

    assert found.code == "wrong-type"
    assert found.examples == ("rating.parquet has 2 columns rating",)


def test_names_of_columns_are_matched_exactly(sound: Tables, tmp_path: Path) -> None:
    rating = sound["rating"]
    names = [name.upper() if name == "rating" else name for name in rating.column_names]
    release = write({**sound, "rating": rating.rename_columns(names)}, tmp_path)

    (found,) = check(release)

    assert (found.code, found.examples) == (
        "missing-column",
        ("rating.parquet has no column rating",),
    )


def test_columns_may_be_in_another_order(sound: Tables, tmp_path: Path) -> None:
    turned = {name: table.select(table.column_names[::-1]) for name, table in sound.items()}

    assert check(write(turned, tmp_path)) == []


STRANGE_COLUMNS = {
    "list": pa.array([[1, None]]),
    "struct": pa.array([{"id": 1, "x": "a"}]),
    "nanoseconds": pa.array([1], pa.timestamp("ns", "America/Chicago")),
    "beyond": pa.array([2**63 - 1], pa.timestamp("ms")),
    "duration": pa.array([1], pa.duration("ns")),
    "time": pa.array([1], pa.time64("ns")),
    "bytes": pa.array([b"\xff"]),
    "nan": pa.array([float("nan")]),
    "dotted.name": pa.array([1]),
}


def test_extra_columns_of_any_type_are_left_out_but_kept_in_quarantine(
    sound: Tables, tmp_path: Path
) -> None:
    rating = append(sound["rating"], id=NEW, rating=5)
    for name, values in STRANGE_COLUMNS.items():
        column = pa.concat_arrays([pa.nulls(len(rating) - 1, values.type), values])
        rating = rating.append_column(name, column)
    rating = rating.append_column("twice", rating["id"]).append_column("twice", rating["id"])
    release = write(sound, tmp_path)
    pq.write_table(rating, release / QC_FOLDER / "rating.parquet")
    db = tmp_path / "dirt.db"

    dm.load(release, db, quarantine=True)

    with dm.open(db) as session:
        kept = session.execute(sa.select(models.Quarantine)).scalar_one()
    assert {name: kept.row[name] for name in STRANGE_COLUMNS} == {
        "list": "[1, None]",
        "struct": "{'id': 1, 'x': 'a'}",
        "nanoseconds": "1970-01-01 00:00:00.000000001",
        "beyond": kept.row["beyond"],
        "duration": kept.row["duration"],
        "time": kept.row["time"],
        "bytes": "/w==",
        "nan": "nan",
        "dotted.name": 1,
    }
    assert "9223372036854775807" in kept.row["beyond"]


# -- quarantine


def spoilt(sound: Tables) -> Tables:
    """Return a release in which rows of every table are rejected for every kind of reason."""
    image, rating = sound["image"], sound["rating"]
    judged = rating["img_id"][0].as_py()
    pictures = [row["img"][:40] if row["id"] == judged else row["img"] for row in image.to_pylist()]
    image = with_column(image, "img", pa.array(pictures, pa.large_binary()))
    image = append(image, id=NEW, slice=99, step=17)
    image = append(image, id=NEW + 1, slice=98, img=None)
    image = append(image, id=NEW + 2)
    session = append(sound["session"], id=None)
    session = append(session, id=NEW, user="a\0b")
    rating = append(rating, -1 % len(rating), id=NEW, rating=None)
    rating = append(rating, id=NEW + 1, session=NEW)
    rating = append(rating, notes="a “note”\n\\n")
    coordinate = append(sound["coordinate"], id=NEW, img_id=NEW, x=float("inf"))
    return {"session": session, "image": image, "rating": rating, "coordinate": coordinate}


def as_json(value: Any) -> Any:
    """Read a quarantined row independently: JSON, with bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return str(value)
    if isinstance(value, str):
        return value.replace("\0", "␀")
    return value


def test_nothing_is_lost_in_quarantine(sound: Tables, tmp_path: Path, new_url: sa.URL) -> None:
    tables = spoilt(sound)
    release = sample.write_tables(tables, tmp_path / "release", empty_rows=3)

    loaded = dm.load(release, new_url, quarantine=True)

    with dm.open(new_url) as session:
        rejected = session.execute(sa.select(models.Quarantine)).scalars().all()
        for name, table in tables.items():
            rows = table.to_pylist()
            model = models.Base.metadata.tables[name]
            ids = session.execute(sa.select(model.c.id)).scalars().all()
            out = [found for found in rejected if found.table == name]
            assert out
            assert len(ids) + len(out) == len(rows) == loaded.n_rows[name]
            numbers = {found.file_row for found in out}
            sound_ids = [row["id"] for n, row in enumerate(rows, 1) if n not in numbers]
            assert sorted(ids) == sorted(sound_ids)
            for found in out:
                row = rows[found.file_row - 1]
                assert found.row == {key: as_json(value) for key, value in row.items()}
                assert found.id == row["id"]
    assert loaded.n_quarantined == len(rejected)


def test_reviews_follow_their_image_into_quarantine(
    sound: Tables, tmp_path: Path, new_url: sa.URL
) -> None:
    tables = spoilt(sound)
    judged = tables["rating"]["img_id"][0].as_py()
    reviews = sum(
        table["img_id"].to_pylist().count(judged)
        for table in (tables["rating"], tables["coordinate"])
    )

    dm.load(write(tables, tmp_path), new_url, quarantine=True)

    with dm.open(new_url) as session:
        rejected = session.execute(sa.select(models.Quarantine)).scalars().all()
    of_image = [f for f in rejected if f.row.get("img_id") == judged]
    assert len(of_image) == reviews
    assert all(f.code == "missing-image" or "; " in f.reason for f in of_image)
    reason = f"image {judged} does not exist or could not be loaded"
    assert all(reason in found.reason for found in of_image)
    (image,) = [f for f in rejected if f.table == "image" and f.id == judged]
    assert image.code == "bad-picture"
    assert image.reason == f"image {judged}: the picture is truncated (nothing after 40 bytes)"


def test_a_target_whose_pictures_are_all_rejected_is_not_loaded(
    sound: Tables, tmp_path: Path
) -> None:
    new = append(sound["image"], id=NEW, file1="sub-99999_new", img=b"nothing")
    release = write({**sound, "image": new}, tmp_path)
    db = tmp_path / "dirt.db"

    dm.load(release, db, quarantine=True)

    with dm.open(db) as session:
        targets = session.execute(sa.select(dm.Target.file1)).scalars().all()
    assert set(targets) == set(sound["image"]["file1"].to_pylist())


def test_the_examples_can_be_written_as_json(sound: Tables, tmp_path: Path) -> None:
    tables = spoilt(sound)
    meta = {"slice": 5, "file1": "sub-1\0", "id": NEW + 7}
    tables["image"] = append(append(tables["image"], **meta), **{**meta, "id": NEW + 8})

    found = check(write(tables, tmp_path))

    assert "\\u0000" not in json.dumps([finding._asdict() for finding in found])


# -- pictures


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n", "truncated (nothing after 8 bytes)"),
        (b"GIF8", "truncated (nothing after 4 bytes)"),
        (b"\xff\xd8\xff\xe0 a JPEG", "neither PNG nor GIF"),
    ],
)
def test_the_fault_of_a_picture_is_named(
    picture: bytes, reason: str, sound: Tables, tmp_path: Path
) -> None:
    tables = appended("image", id=NEW, slice=99, img=picture)(sound)

    (found,) = check(write(tables, tmp_path))

    assert found.examples[0].endswith(f": image {NEW}: the picture is {reason}")


def test_a_decompression_bomb_is_refused(sound: Tables, tmp_path: Path) -> None:
    png = next(p for p in sound["image"]["img"].to_pylist() if p.startswith(b"\x89PNG"))
    header = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + png[24:29]
    bomb = png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]
    tables = appended("image", id=NEW, slice=99, img=bomb)(sound)

    (found,) = check(write(tables, tmp_path))

    assert found.examples[0].endswith("the picture is absurdly large (100000×100000 pixels)")


def test_pixels_that_end_early_are_found_by_decoding(sound: Tables, tmp_path: Path) -> None:
    png = next(p for p in sound["image"]["img"].to_pylist() if p.startswith(b"\x89PNG"))
    pixels = b"IDAT" + zlib.compress(b"\0")
    short = len(pixels[4:]).to_bytes(4, "big") + pixels + zlib.crc32(pixels).to_bytes(4, "big")
    end = bytes(4) + b"IEND" + zlib.crc32(b"IEND").to_bytes(4, "big")
    tables = appended("image", id=NEW, slice=99, img=png[:33] + short + end)(sound)
    release = write(tables, tmp_path)

    (found,) = releases.check(release, decode=True)

    assert releases.check(release) == []
    assert (found.code, found.file, found.n) == ("bad-picture", "image.parquet", 1)
    assert found.examples == (f"image {NEW}: the picture is damaged (its pixels end early)",)


# -- damaged files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release that is small enough to damage hundreds of times."""
    return sample.write_release(
        tmp_path_factory.mktemp("whole"), subjects=1, slices=1, picture_size=(32, 24), frames=2
    )


def damage(whole: Path, folder: Path, table: str, content: bytes) -> Path:
    """Return the release with the bytes of one file replaced."""
    target = folder / QC_FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for file in (whole / QC_FOLDER).iterdir():
        copy = target / file.name
        copy.unlink(missing_ok=True)
        copy.symlink_to(file)
    (target / f"{table}.parquet").unlink()
    (target / f"{table}.parquet").write_bytes(content)
    return folder


@pytest.mark.parametrize("table", ["rating", "image"])
def test_a_truncated_file_is_unreadable(table: str, whole: Path, tmp_path: Path) -> None:
    content = (whole / QC_FOLDER / f"{table}.parquet").read_bytes()

    for end in [*range(16), *range(16, len(content), max(1, len(content) // 40))]:
        (found,) = check(damage(whole, tmp_path, table, content[:end]))

        assert (found.code, found.file, found.n) == ("unreadable-file", f"{table}.parquet", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1PAR1",
        b"garbage" * 1000,
        b"id,rating\n1,2\n",
        b"PAR1" + b"\0" * 99 + b"PAR1",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_garbage_is_unreadable(content: bytes, whole: Path, tmp_path: Path) -> None:
    (found,) = check(damage(whole, tmp_path, "coordinate", content))

    assert (found.code, found.file, found.n) == ("unreadable-file", "coordinate.parquet", 1)
    assert len(found.examples) == 1


@pytest.mark.parametrize("table", ["session", "image", "rating", "coordinate"])
def test_flipped_bits_never_end_in_a_traceback(table: str, whole: Path, tmp_path: Path) -> None:
    content = (whole / QC_FOLDER / f"{table}.parquet").read_bytes()
    rng = random.Random(table)  # noqa: S311 - a seed, not a secret

    for number in range(8):
        flipped = bytearray(content)
        for _ in range(1 + number % 3):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        damaged = damage(whole, tmp_path, table, bytes(flipped))
        found = check(damaged)
        errors = [finding for finding in found if finding.severity == "error"]
        if not errors:
            dm.load(damaged, tmp_path / "dirt.db", replace=True)
            continue
        with pytest.raises(dm.ReleaseError):
            dm.load(damaged, tmp_path / "other.db")


def test_a_picture_changed_on_the_way_is_noticed(whole: Path, tmp_path: Path) -> None:
    path = whole / QC_FOLDER / "image.parquet"
    images = pq.read_table(path)
    folder = tmp_path / "plain"
    damage(whole, folder, "image", b"")
    plain = folder / QC_FOLDER / "image.parquet"
    pq.write_table(images, plain, compression="none", use_dictionary=False, write_statistics=False)
    content = bytearray(plain.read_bytes())
    content[content.index(b"IDAT") + 10] ^= 1
    plain.write_bytes(content)

    found = check(folder)

    assert found[0].code == "bad-picture"
    assert "damaged (wrong checksum of the chunk at byte" in found[0].examples[0]


def test_a_page_changed_on_the_way_is_noticed_where_the_file_has_checksums(
    whole: Path, tmp_path: Path
) -> None:
    rating = pq.read_table(whole / QC_FOLDER / "rating.parquet")
    folder = tmp_path / "plain"
    damage(whole, folder, "rating", b"")
    plain = folder / QC_FOLDER / "rating.parquet"
    pq.write_table(
        rating, plain, compression="none", use_dictionary=False, write_page_checksum=True
    )
    content = bytearray(plain.read_bytes())
    content[len(content) // 3] ^= 1
    plain.write_bytes(content)

    (found,) = check(folder)

    assert found.code == "unreadable-file"
    assert "crc" in found.examples[0].lower()


def test_text_that_is_not_utf_8_is_unreadable(sound: Tables, tmp_path: Path) -> None:
    release = write(appended("rating", id=NEW, notes="MARK")(sound), tmp_path)
    path = release / QC_FOLDER / "rating.parquet"
    pq.write_table(
        pq.read_table(path), path, compression="none", use_dictionary=False, write_statistics=False
    )
    path.write_bytes(path.read_bytes().replace(b"MARK", b"M\xff\xfeK"))

    (found,) = check(release)

    assert found.code == "unreadable-file"
    assert "UTF8" in found.examples[0]


def test_a_file_without_the_right_to_read_is_reported(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "rating.parquet")

    damaged = damage(whole, tmp_path, "rating", b"")
    monkeypatch.setattr(pq, "ParquetFile", refuse)

    with pytest.raises(dm.ReleaseError) as caught:
        check(damaged)

    assert str(caught.value) == (
        f"cannot read session.parquet of {damaged / QC_FOLDER}: Permission denied; try again when "
        "that is resolved"
    )


@pytest.mark.parametrize("error", [MemoryError(), pa.ArrowMemoryError("malloc of size 64 failed")])
def test_lack_of_memory_is_not_reported_as_damage(
    error: Exception, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(pq, "ParquetFile", refuse)

    with pytest.raises(dm.ReleaseError) as caught:
        check(whole)

    assert str(caught.value) == (
        f"cannot read session.parquet of {whole / QC_FOLDER}: there is too little memory; close "
        "other programs, or use a larger machine"
    )


def test_unknown_numbers_are_counted_through_all_batches(sound: Tables, tmp_path: Path) -> None:
    rating = sound["rating"]
    like = rating.slice(0, 1).to_pylist()[0]
    codes = [3] * (2 * NARROW_ROWS) + list(range(4, 64))
    added = [{**like, "id": 1_000_000 + n, "rating": code} for n, code in enumerate(codes)]
    many = pa.concat_tables([rating, pa.Table.from_pylist(added, rating.schema)])

    (found,) = check(write({**sound, "rating": many}, tmp_path))

    assert (found.code, found.n) == ("unknown-enum", len(codes))


@pytest.mark.parametrize("table", ["session", "image", "rating", "coordinate"])
def test_rows_that_a_damaged_page_hides_are_missed(
    table: str, sound: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Arrow may treat such a page as the end of its column, without an error.
    release = write(sound, tmp_path)
    column = "img" if table == "image" else "created"
    n_rows = len(sound[table])
    open_ = ReleaseFiles._open

    class Short:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def iter_batches(self, columns: list[str], **options: Any) -> Iterator[Any]:
            batches = self._file.iter_batches(columns=columns, **options)
            return (batch.slice(1) for batch in batches) if column in columns else batches

    def opened(files: ReleaseFiles, part: Part) -> Any:
        file = open_(files, part)
        return Short(file) if part.path.stem == table else file

    monkeypatch.setattr(ReleaseFiles, "_open", opened)

    (found,) = check(release)

    assert (found.code, found.file) == ("unreadable-file", f"{table}.parquet")
    assert found.examples[0].endswith(f" of {n_rows:,} rows can be read")
    with pytest.raises(dm.ReleaseError, match="rows can be read"):
        dm.load(release, tmp_path / "dirt.db")
