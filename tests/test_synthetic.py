import collections
import datetime as dt
import io
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dirtmodel import entities, sample
from dirtmodel.sample import HAZARDS, make_tables, write_release, write_tables
from dirtmodel.sample.writing import FOLDER

Tables = dict[str, Any]
Rows = list[dict[str, Any]]

COLUMNS = {
    "session": ["id", "step", "user", "created"],
    "image": ["id", "img", "slice", "file1", "file2", "display", "step", "created"],
    "rating": ["id", "source_data_issue", "rating", "img_id", "session", "notes", "created"],
    "coordinate": ["id", "source_data_issue", "x", "y", "img_id", "session", "notes", "created"],
}
STYLES = ("polars", "duckdb", "pandas")
SMALL = {"subjects": 3, "slices": 2, "picture_size": (80, 60), "frames": 2}
NARROW = {"subjects": 6, "slices": 3, "pictures": "tiny"}
FILE1 = {
    0: r"sub-\d{5}_ses-V1_desc-brain_mask\.nii\.gz",
    1: r"sub-\d{5}_ses-V1_space-MNI152NLin2009cAsym_desc-preproc_T1w\.nii\.gz",
    2: r"sub-\d{5}_ses-V1/mri/ribbon\.mgz",
    3: r"sub-\d{5}_ses-V1_task-(rest|cuff)_run-0[12]_desc-coreg_boldref\.nii\.gz",
    4: r"sub-\d{5}_ses-V1_space-T1w_desc-preproc_dwi_FA\.nii\.gz",
}
FILE2 = {
    0: r"sub-\d{5}_ses-V1_T1w\.nii\.gz",
    2: r"sub-\d{5}_ses-V1/mri/brain\.mgz",
    3: r"sub-\d{5}_ses-V1_acq-fmrib0_fmapid-auto00001_desc-epi_fieldmap\.nii\.gz",
}


@pytest.fixture(scope="module")
def hazardous() -> Tables:
    return make_tables(**NARROW)


@pytest.fixture(scope="module")
def clean() -> Tables:
    return make_tables(**NARROW, hazards=False)


@pytest.fixture(scope="module")
def drawn() -> Tables:
    return make_tables(**SMALL)


def rows(tables: Tables, name: str) -> Rows:
    return tables[name].to_pylist()


def by_id(tables: Tables, name: str) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in rows(tables, name)}


def read(folder: Path, name: str) -> Any:
    return pq.read_table(folder / FOLDER / f"{name}.parquet")


def logical(folder: Path, name: str) -> Rows:
    """Return rows independent of the style: by id, with naive UTC times and integer ids."""
    table = read(folder, name)
    instants = table["created"].cast(pa.timestamp("us", table["created"].type.tz))
    table = table.set_column(table.column_names.index("created"), "created", instants)
    found = [
        {
            **{k: int(v) if _whole(v) and k not in "xy" else v for k, v in row.items()},
            "created": row["created"].replace(tzinfo=None),
        }
        for row in table.to_pylist()
        if row["id"] is not None
    ]
    return sorted(found, key=lambda row: row["id"])


def _whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


# Layout


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_the_documented_ones_in_canonical_types(hazardous: Tables, name: str) -> None:
    table = hazardous[name]

    assert table.column_names == COLUMNS[name]
    canonical = {
        "img": pa.large_binary(),
        "created": pa.timestamp("us", tz="UTC"),
        "source_data_issue": pa.bool_(),
        **dict.fromkeys(("x", "y"), pa.float64()),
        **dict.fromkeys(("file1", "file2", "notes", "user"), pa.large_string()),
    }
    assert table.schema.types == [canonical.get(c, pa.int64()) for c in COLUMNS[name]]


def test_files_are_named_as_a2cps_names_them(clean: Tables) -> None:
    for image in rows(clean, "image"):
        assert re.fullmatch(FILE1[image["step"]], image["file1"])
        if image["step"] in FILE2:
            assert re.fullmatch(FILE2[image["step"]], image["file2"])
        else:
            assert image["file2"] is None


def test_every_target_has_the_images_of_its_step(clean: Tables) -> None:
    cuts = collections.defaultdict(list)
    for image in rows(clean, "image"):
        cuts[image["step"], image["file1"]].append((image["display"], image["slice"]))

    full = [(display, slice_) for display in range(3) for slice_ in range(3)]
    assert {step for step, _ in cuts} == set(range(5))
    for (step, _), found in cuts.items():
        assert sorted(found) == ([(2, None)] if step == 4 else full)


def test_normalization_has_three_slices_where_the_others_have_seven() -> None:
    images = rows(make_tables(subjects=1, slices=7, pictures="tiny", hazards=False), "image")

    per_step = collections.Counter(image["step"] for image in images)
    assert per_step == {0: 21, 1: 9, 2: 21, 3: 63, 4: 1}


def test_each_subject_has_up_to_four_runs_and_some_are_missing(clean: Tables) -> None:
    runs = {row["file1"] for row in rows(clean, "image") if row["step"] == 3}
    per_subject = collections.Counter(entities.parse(name).sub for name in runs)

    assert len(per_subject) == 6
    assert max(per_subject.values()) == 4
    assert min(per_subject.values()) < 4


def test_only_the_requested_steps_are_made() -> None:
    tables = make_tables(**NARROW, steps=[3])

    assert set(tables["image"]["step"].to_pylist()) == {3}
    assert set(tables["session"]["step"].to_pylist()) == {3}


@pytest.mark.parametrize("hazards", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_every_reference_is_met_and_every_id_is_unique(seed: int, hazards: bool) -> None:
    tables = make_tables(seed=seed, subjects=1 + seed, slices=1, pictures="tiny", hazards=hazards)

    images, sessions = by_id(tables, "image"), by_id(tables, "session")
    for name in tables:
        assert len(by_id(tables, name)) == len(tables[name])
    for name in ("rating", "coordinate"):
        assert {row["img_id"] for row in rows(tables, name)} <= set(images)
        assert {row["session"] for row in rows(tables, name)} <= set(sessions)


# Determinism


def test_the_same_seed_gives_the_same_release(drawn: Tables) -> None:
    again = make_tables(**SMALL)

    assert all(again[name].equals(drawn[name]) for name in drawn)


def test_another_seed_gives_another_release(drawn: Tables) -> None:
    other = make_tables(**SMALL, seed=1)

    assert not any(other[name].equals(drawn[name]) for name in drawn)


def test_streaming_to_disk_gives_the_rows_that_make_tables_gives(
    tmp_path: Path, drawn: Tables
) -> None:
    write_release(tmp_path, **SMALL)

    for name, table in drawn.items():
        stored = read(tmp_path, name)
        assert stored.slice(0, len(table)).equals(table)
        assert len(stored) == len(table) + 3


# Styles


@pytest.mark.parametrize("name", COLUMNS)
def test_content_is_the_same_in_every_style(tmp_path: Path, name: str) -> None:
    for style in STYLES:
        write_release(tmp_path / style, style=style, **SMALL)

    polars, duckdb, pandas = (logical(tmp_path / style, name) for style in STYLES)
    assert repr(polars) == repr(duckdb) == repr(pandas)


def test_polars_style_is_one_row_group_with_three_empty_rows_at_the_end(tmp_path: Path) -> None:
    write_release(tmp_path, **SMALL)

    for name in COLUMNS:
        file = pq.ParquetFile(tmp_path / FOLDER / f"{name}.parquet")
        assert file.metadata.num_row_groups == 1
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        *filled, a, b, c = file.read().to_pylist()
        assert {*a.values(), *b.values(), *c.values()} == {None}
        assert all(row["id"] is not None for row in filled)


def test_polars_style_stays_one_row_group_over_many_batches(tmp_path: Path) -> None:
    write_release(tmp_path, subjects=20, pictures="noise", picture_bytes=500)

    metadata = pq.read_metadata(tmp_path / FOLDER / "image.parquet")
    assert metadata.num_rows > 1000
    assert metadata.num_row_groups == 1
    assert sorted(p.name for p in (tmp_path / FOLDER).iterdir()) == [
        f"{name}.parquet" for name in sorted(COLUMNS)
    ]


def test_duckdb_style_has_int32_naive_instants_and_several_row_groups(tmp_path: Path) -> None:
    write_release(tmp_path, style="duckdb", subjects=30, pictures="tiny")

    file = pq.ParquetFile(tmp_path / FOLDER / "image.parquet")
    assert file.metadata.num_row_groups > 1
    assert file.schema_arrow.field("id").type == pa.int32()
    assert file.schema_arrow.field("created").type == pa.timestamp("us")
    assert file.schema_arrow.field("file1").type == pa.string()
    assert file.schema_arrow.field("img").type == pa.binary()
    assert file.read()["id"].null_count == 0


def test_pandas_style_has_doubles_for_integers_with_nulls_and_metadata(tmp_path: Path) -> None:
    write_release(tmp_path, style="pandas", subjects=30, pictures="tiny")

    file = pq.ParquetFile(tmp_path / FOLDER / "image.parquet")
    assert file.metadata.num_row_groups > 2
    assert file.schema_arrow.field("slice").type == pa.float64()
    assert file.schema_arrow.field("display").type == pa.int32()
    assert file.schema_arrow.field("created").type == pa.timestamp("ns", tz="UTC")
    described = file.schema_arrow.pandas_metadata
    assert [column["name"] for column in described["columns"]] == COLUMNS["image"]
    assert described["index_columns"][0]["stop"] == file.metadata.num_rows


def test_pandas_reads_the_pandas_style(tmp_path: Path) -> None:
    import pandas as pd

    write_release(tmp_path, style="pandas", **NARROW)

    frame = pd.read_parquet(tmp_path / FOLDER / "image.parquet")
    assert list(frame.columns) == COLUMNS["image"]
    assert str(frame["created"].dtype) == "datetime64[ns, UTC]"
    assert frame.index.equals(pd.RangeIndex(len(frame)))


def test_ids_beyond_int32_stay_wide(tmp_path: Path, hazardous: Tables) -> None:
    big = pc.add(hazardous["session"]["id"], 2**31)
    table = hazardous["session"].set_column(0, "id", big)

    write_tables({"session": table}, tmp_path, style="duckdb")

    assert read(tmp_path, "session")["id"].to_pylist() == big.to_pylist()


def test_altered_columns_are_written_as_they_are(tmp_path: Path, hazardous: Tables) -> None:
    as_text = hazardous["coordinate"].set_column(
        2, "x", hazardous["coordinate"]["x"].cast("string")
    )

    write_tables({"coordinate": as_text}, tmp_path, style="polars", empty_rows=0)

    assert read(tmp_path, "coordinate").equals(as_text)


# Pictures


def test_pictures_are_complete_and_of_dirts_formats(drawn: Tables) -> None:
    for image in rows(drawn, "image"):
        with Image.open(io.BytesIO(image["img"])) as picture:
            picture.load()
            if image["step"] < 3:
                assert (picture.format, picture.mode, picture.size) == ("PNG", "RGBA", (80, 60))
            else:
                assert (picture.format, picture.n_frames) == ("GIF", 2)


def test_no_two_pictures_are_alike(drawn: Tables) -> None:
    pictures = drawn["image"]["img"].to_pylist()

    assert len(set(pictures)) == len(pictures)


def test_dtifit_has_the_requested_number_of_frames() -> None:
    tables = make_tables(subjects=1, steps=[4], frames=37, picture_size=(80, 60), hazards=False)

    with Image.open(io.BytesIO(tables["image"]["img"][0].as_py())) as picture:
        assert picture.n_frames == 37


@pytest.mark.parametrize("wanted", [1_000, 25_000, 100_000, 307_680])
def test_noise_is_a_valid_distinct_png_of_the_requested_size(wanted: int) -> None:
    tables = make_tables(
        subjects=1, slices=1, steps=[0], pictures="noise", picture_bytes=wanted, hazards=False
    )

    pictures = tables["image"]["img"].to_pylist()
    assert len(set(pictures)) == len(pictures) == 3
    for data in pictures:
        assert abs(len(data) - wanted) < 1_100
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert picture.size == (640, 480)


def test_tiny_pictures_are_valid_and_shared(hazardous: Tables) -> None:
    pictures = set(hazardous["image"]["img"].to_pylist())

    assert {data[:3] for data in pictures} == {b"\x89PN", b"GIF"}
    assert len(pictures) == 2
    for data in pictures:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert picture.size == (640, 480)


# Raters


def test_stricter_raters_fail_more_of_the_same_images() -> None:
    tables = make_tables(
        subjects=20, steps=[3], raters=4, reviews_per_image=4, pictures="tiny", hazards=False
    )
    users = {row["id"]: row["user"] for row in rows(tables, "session")}
    verdicts = collections.defaultdict(list)
    for rating in rows(tables, "rating"):
        verdicts[users[rating["session"]]].append(rating["rating"])

    means = {user: sum(found) / len(found) for user, found in verdicts.items()}
    lenient, *_, strict = sorted(means)
    assert len({len(found) for found in verdicts.values()}) == 1
    assert means[lenient] < means[strict]


def test_raters_agree_far_beyond_chance() -> None:
    tables = make_tables(
        subjects=20, steps=[3], raters=2, reviews_per_image=2, pictures="tiny", hazards=False
    )
    pairs = collections.defaultdict(list)
    for rating in rows(tables, "rating"):
        pairs[rating["img_id"]].append(rating["rating"] > 0)

    n = len(pairs)
    agreement = sum(a == b for a, b in pairs.values()) / n
    marked = sum(map(sum, pairs.values())) / (2 * n)
    chance = marked**2 + (1 - marked) ** 2
    assert (agreement - chance) / (1 - chance) > 0.4


def test_clicks_of_all_raters_gather_around_one_fault_per_image() -> None:
    tables = make_tables(subjects=20, steps=[0], reviewed=1.0, pictures="tiny", hazards=False)
    clicks = collections.defaultdict(list)
    for row in rows(tables, "coordinate"):
        if row["x"] is not None:
            clicks[row["img_id"]].append((row["x"], row["y"]))

    several = [found for found in clicks.values() if len(found) > 3]
    assert len(several) > 10
    for found in several:
        centre = [sum(axis) / len(found) for axis in zip(*found, strict=True)]
        assert sum(math.dist(click, centre) for click in found) / len(found) < 60


@pytest.mark.parametrize("hazards", [True, False])
def test_only_fieldmap_coregistration_is_reviewed_exhaustively(hazards: bool) -> None:
    tables = make_tables(**NARROW, hazards=hazards)
    seen = {row["img_id"] for name in ("rating", "coordinate") for row in rows(tables, name)}
    unseen = collections.Counter(
        row["step"] for row in rows(tables, "image") if row["id"] not in seen
    )

    assert unseen[3] == 0
    assert unseen[0] > 0
    assert unseen[1] > 0


def test_some_reviews_blame_the_source_data_and_some_clicks_come_together(clean: Tables) -> None:
    submissions = collections.defaultdict(list)
    for row in rows(clean, "coordinate"):
        submissions[row["img_id"], row["session"]].append(row)

    several = [found for found in submissions.values() if len(found) > 1]
    assert several
    for found in several:
        assert len({(row["notes"], row["source_data_issue"]) for row in found}) == 1
        created = sorted(row["created"] for row in found)
        gaps = [b - a for a, b in pairwise(created)]
        assert all(dt.timedelta(0) < gap < dt.timedelta(microseconds=50) for gap in gaps)
    flags = clean["rating"]["source_data_issue"].to_pylist()
    assert {*flags, *clean["coordinate"]["source_data_issue"].to_pylist()} == {True, False}


def test_reviews_follow_their_session_and_their_picture(hazardous: Tables) -> None:
    images, sessions = by_id(hazardous, "image"), by_id(hazardous, "session")

    for name in ("rating", "coordinate"):
        for row in rows(hazardous, name):
            assert row["created"] > images[row["img_id"]]["created"]
            if sessions[row["session"]]["step"] == images[row["img_id"]]["step"]:
                assert row["created"] > sessions[row["session"]]["created"]


# Hazards: a release has the traces of a hazard exactly if the hazard was requested


def gaps_in_ids(tables: Tables) -> bool:
    return all(len(t) < max(t["id"].to_pylist()) for t in tables.values())


def unordered(tables: Tables) -> bool:
    return all(t["id"].to_pylist() != sorted(t["id"].to_pylist()) for t in tables.values())


def earliest_without_user(tables: Tables) -> bool:
    users = [row["user"] for row in sorted(rows(tables, "session"), key=lambda r: r["created"])]
    return users[0] is None and users[-1] is not None


def repeats(tables: Tables) -> list[tuple[float, bool]]:
    """Return the repeated reviews of an image in a session: (seconds later, same verdict)."""
    judged = collections.defaultdict(list)
    for row in rows(tables, "rating"):
        judged[row["img_id"], row["session"]].append((row["created"], row["rating"]))
    return [
        ((b[0] - a[0]).total_seconds(), a[1] == b[1])
        for found in map(sorted, judged.values())
        for a, b in pairwise(found)
    ]


def reviewed_in_two_sessions(tables: Tables) -> bool:
    sessions = by_id(tables, "session")
    sittings = collections.defaultdict(set)
    for row in rows(tables, "rating"):
        session = sessions[row["session"]]
        if session["user"]:
            sittings[row["img_id"], session["user"], session["step"]].add(row["session"])
    return any(len(found) > 1 for found in sittings.values())


def clicks(tables: Tables) -> list[tuple[float | None, float | None]]:
    return [(row["x"], row["y"]) for row in rows(tables, "coordinate")]


def steps_of(tables: Tables, name: str) -> set[int]:
    images = by_id(tables, "image")
    return {images[row["img_id"]]["step"] for row in rows(tables, name)}


def step_mismatch(tables: Tables) -> bool:
    images, sessions = by_id(tables, "image"), by_id(tables, "session")
    return any(
        images[row["img_id"]]["step"] != sessions[row["session"]]["step"]
        for name in ("rating", "coordinate")
        for row in rows(tables, name)
    )


def awkward(tables: Tables) -> bool:
    notes = {row["notes"] for n in ("rating", "coordinate") for row in rows(tables, n)} - {None}
    text = "\0".join(notes)
    wanted = ("\\r\\n", "\\t", "\\\\", "<script>", "≥", ",", '"', "\n")
    return {"NULL", "NA", "nan"} <= notes and all(part in text for part in wanted)


def one_step_subject(tables: Tables) -> bool:
    steps = collections.defaultdict(set)
    for row in rows(tables, "image"):
        steps[entities.parse(row["file1"]).sub].add(row["step"])
    return {3} in steps.values()


def equal_keys(tables: Tables) -> list[tuple[Any, ...]]:
    keys = collections.Counter(
        (row["step"], row["file1"], row["display"], row["slice"]) for row in rows(tables, "image")
    )
    return [key for key, n in keys.items() if n > 1]


TRACES = {
    "id_gaps": gaps_in_ids,
    "unordered_rows": unordered,
    "null_users": earliest_without_user,
    "double_submit": lambda t: (0.18, True) in repeats(t),
    "changed_mind": lambda t: (40.0, False) in repeats(t),
    "later_session": reviewed_in_two_sessions,
    "off_picture_clicks": lambda t: (
        any(x == -0.28 for x, _ in clicks(t)) and any(y == 480.2 for _, y in clicks(t))
    ),
    "half_null_clicks": lambda t: any((x is None) != (y is None) for x, y in clicks(t)),
    "infinite_clicks": lambda t: math.inf in {x for x, _ in clicks(t)},
    "crossed_tables": lambda t: (
        steps_of(t, "rating") & {0, 1, 2} and steps_of(t, "coordinate") & {3, 4}
    ),
    "session_step": step_mismatch,
    "awkward_notes": awkward,
    "one_step_subject": one_step_subject,
    "nameless_file": lambda t: any(
        entities.parse(r["file1"]).sub is None for r in rows(t, "image")
    ),
    "equal_dtifit_keys": equal_keys,
}


def test_every_hazard_has_its_traces_described() -> None:
    assert set(TRACES) == set(HAZARDS)


@pytest.mark.parametrize("hazard", HAZARDS)
def test_all_hazards_are_made_by_default(hazardous: Tables, hazard: str) -> None:
    assert TRACES[hazard](hazardous)


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_hazard_is_not_in_a_clean_release(clean: Tables, hazard: str) -> None:
    assert not TRACES[hazard](clean)


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_single_hazard_can_be_requested(hazard: str) -> None:
    tables = make_tables(**NARROW, hazards=[hazard])

    assert [name for name, trace in TRACES.items() if trace(tables)] == [hazard]


def test_equal_keys_are_those_of_dtifit_alone(hazardous: Tables) -> None:
    assert [key[0] for key in equal_keys(hazardous)] == [4]


def test_clean_clicks_are_on_the_picture_or_wholly_absent(clean: Tables) -> None:
    for x, y in clicks(clean):
        assert (x is None and y is None) or (0 <= x < 640 and 0 <= y < 480)


def test_clean_notes_need_no_unescaping(clean: Tables) -> None:
    notes = {row["notes"] for n in ("rating", "coordinate") for row in rows(clean, n)} - {None}

    assert notes
    assert all(note.isascii() and note.isprintable() and "\\" not in note for note in notes)


# Recipes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hazards": ["fire"]}, "unknown hazards ['fire']: choose from ["),
        ({"steps": [5]}, "unknown steps in [5]: choose from [0, 1, 2, 3, 4]"),
        ({"subjects": 0}, "subjects is 0: use 1 or more"),
        (
            {"reviews_per_image": 9, "raters": 3},
            "reviews_per_image is 9: use 1 to 3, the number of raters",
        ),
    ],
)
def test_recipes_that_cannot_be_made_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        sample.Recipe(**options)


def test_a_large_narrow_release_has_the_requested_reviews() -> None:
    tables = make_tables(
        subjects=120,
        slices=7,
        steps=[3],
        raters=20,
        reviews_per_image=10,
        pictures="tiny",
        hazards=False,
    )

    assert len(tables["image"]) > 9_000
    assert len(tables["rating"]) == 10 * len(tables["image"])
