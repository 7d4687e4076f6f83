"""A folder of parts can replace a table's file; anything else in its place is named."""

import bz2
import gzip
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import ReleaseError, database, sample
from dirtmodel import release as releases
from dirtmodel.release.layout import QC_FOLDER


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.write_release(
        tmp_path_factory.mktemp("whole"), subjects=1, slices=1, picture_size=(32, 24), frames=2
    )


@pytest.fixture
def qc(whole: Path, tmp_path: Path) -> Path:
    """Return the folder of a release that a test may change."""
    return Path(shutil.copytree(whole / QC_FOLDER, tmp_path / "qc"))


def emptied(qc: Path, table: str) -> tuple[Any, str]:
    """Remove the file of a table, and return its rows and its path."""
    path = qc / f"{table}.parquet"
    rows = pl.read_parquet(path)
    path.unlink()
    return rows, str(path)


def _polars_hive(qc: Path) -> None:
    rows, path = emptied(qc, "image")
    rows.drop_nulls("id").write_parquet(f"{path}/", partition_by="step")


def _spark_hive(qc: Path) -> None:
    # Unlike Polars, Spark leaves the columns of the folders out of the files.
    rows, path = emptied(qc, "session")
    for (step, user), part in rows.drop_nulls("id").group_by("step", "user"):
        name = "__HIVE_DEFAULT_PARTITION__" if user is None else user.replace(" ", "%20")
        folder = Path(path, f"step={step}", f"user={name}")
        folder.mkdir(parents=True)
        part.drop("step", "user").write_parquet(folder / "part-0.snappy.parquet")
        Path(folder, ".part-0.snappy.parquet.crc").touch()
    Path(path, "_SUCCESS").touch()


def _arrow_parts(qc: Path) -> None:
    rows, path = emptied(qc, "rating")
    ds.write_dataset(
        rows.to_arrow(), path, format="parquet", max_rows_per_file=7, max_rows_per_group=7
    )


def _parts_of_several_types(qc: Path) -> None:
    rows, path = emptied(qc, "coordinate")
    Path(path).mkdir()
    rows[:5].write_parquet(f"{path}/a.parquet")
    rows[5:].with_columns(pl.col("id").cast(pl.Int32)).write_parquet(f"{path}/b.parquet")


def content(release: Path, db: Path) -> dict[str, list[str]]:
    dm.load(release, db)
    with database.connect(database.parse_url(db)) as connection:
        return {
            table: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {table}"))))
            for table in ("session", "image", "rating", "coordinate", "review")
        }


@pytest.mark.parametrize(
    "write", [_polars_hive, _spark_hive, _arrow_parts, _parts_of_several_types]
)
def test_a_folder_of_parts_is_read_as_one_table(
    write: Callable[[Path], None], whole: Path, qc: Path, tmp_path: Path
) -> None:
    write(qc)

    loaded = content(qc, tmp_path / "parts.db")

    assert loaded == content(whole, tmp_path / "whole.db")


def test_rows_are_named_by_their_part(qc: Path) -> None:
    rows, path = emptied(qc, "rating")
    Path(path).mkdir()
    rows[:3].write_parquet(f"{path}/a.parquet")
    rows[3:4].with_columns(rating=pl.lit(7)).write_parquet(f"{path}/b.parquet")

    (found,) = (f for f in releases.check(qc) if f.code == "unknown-enum")

    assert found.file == "rating.parquet"
    assert found.examples == (
        "rating.parquet/b.parquet row 1: rating 7 is not PASS (0), UNSURE (1) or FAIL (2)",
    )


def unreadable(qc: Path) -> str:
    """Return the words for the one thing that is wrong with a release."""
    (found,) = (f for f in releases.check(qc) if f.severity == "error")
    assert found.code in {"unreadable-file", "missing-file"}
    return found.examples[0].replace(f"{qc}/", "")


FOREIGN = "the folder contains {}, whose name does not end in .parquet; rename or remove it"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "the folder contains no parquet files; copy it again"),
        (["x.csv"], FOREIGN.format("x.csv")),
        (["p.parquet"], "p.parquet: it is empty; copy it again"),
        (
            ["step=\udcff/p.parquet"],
            r"the path 'step=\udcff/p.parquet' in the folder is not UTF-8 text; rename it",
        ),
        (["\udce9.csv"], FOREIGN.format(r"\udce9.csv")),
        (
            ["_delta_log/0.json"],
            "it is a table of Delta Lake, which also keeps earlier versions; "  # noqa: ISC004 - one text
            "write the current version as parquet",
        ),
    ],
)
def test_folders_that_are_not_one_table_are_refused(qc: Path, names: list[str], words: str) -> None:
    _, path = emptied(qc, "rating")
    Path(path).mkdir()
    for name in names:
        Path(path, name).parent.mkdir(exist_ok=True)
        Path(path, name).touch()

    assert unreadable(qc) == f"rating.parquet: {words}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty; copy it again"),
        (b"PAR1" + bytes(99), "it is incomplete; copy it again"),
        (gzip.compress(b"x", mtime=0), "it is compressed with gzip; decompress it"),
        (bz2.compress(b"x"), "it is compressed with bzip2; decompress it"),
        (lzma.compress(b"x"), "it is compressed with xz; decompress it"),
        (b"\x28\xb5\x2f\xfdx", "it is compressed with zstd; decompress it"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "it is a pointer of Git LFS; fetch its content with: git lfs pull",
        ),
        (
            b"/annex/objects/MD5E-s1--0.parquet\n",
            "it is a pointer of git-annex; fetch its content with: git annex get",
        ),
        (
            b"\n <!DOCTYPE html><html>",
            "it is an HTML page, such as a server's error or login; download it again",
        ),
        (
            b"id,rating\n1,2\n",
            "it is not a parquet file (it begins with b'id,rating\\n1,'); copy it again",
        ),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_files_that_are_not_parquet_are_named(qc: Path, content: bytes, words: str) -> None:
    (qc / "rating.parquet").write_bytes(content)

    assert unreadable(qc) == f"rating.parquet: {words}"


def test_a_compressed_file_is_named(qc: Path) -> None:
    (qc / "rating.parquet").rename(qc / "rating.parquet.zst")

    assert (
        unreadable(qc) == "rating.parquet is missing, but rating.parquet.zst exists; decompress it"
    )


def test_links_whose_content_is_elsewhere_are_explained(qc: Path) -> None:
    (qc / "rating.parquet").unlink()
    (qc / "rating.parquet").symlink_to("../.git/annex/objects/x/y.parquet")

    assert unreadable(qc) == (
        "rating.parquet is a link of git-annex; fetch its content with: git annex get"
    )


def test_a_release_of_compressed_files_is_found(qc: Path) -> None:
    for path in list(qc.iterdir()):
        path.rename(f"{path}.gz")

    found = releases.check(qc)

    assert [f.code for f in found] == ["missing-file"] * 4


def test_an_archive_is_not_a_release(tmp_path: Path) -> None:
    (tmp_path / "release.tar.gz").write_bytes(gzip.compress(b"x", mtime=0))

    with pytest.raises(ReleaseError) as caught:
        releases.find(tmp_path / "release.tar.gz")

    assert str(caught.value) == (
        f"{tmp_path / 'release.tar.gz'} is a file: it is compressed with gzip; decompress it, and "
        "use the path of the folder; a release is a folder with session.parquet, image.parquet, "
        "rating.parquet, coordinate.parquet"
    )


def test_the_record_of_a_load_covers_all_parts(qc: Path, tmp_path: Path) -> None:
    _arrow_parts(qc)
    parts = sorted((qc / "rating.parquet").iterdir())

    dm.load(qc, tmp_path / "dirt.db")

    with database.connect(database.parse_url(tmp_path / "dirt.db")) as connection:
        recorded = connection.execute(
            sa.text("SELECT n_bytes FROM release_file WHERE name = 'rating.parquet'")
        ).scalar_one()
    assert recorded == sum(part.stat().st_size for part in parts)


# -- sizes that a file declares


@pytest.mark.parametrize("field", ["rows", "dictionary"])
def test_declared_sizes_that_contradict_each_other_are_found(field: str, qc: Path) -> None:
    path = qc / "session.parquet"
    table = pa.table({"id": [1, 1, 1], "x": ["a", "a", "a"]})
    pq.write_table(table, path, compression="none")
    data = bytearray(path.read_bytes())
    # A dictionary of one value, in zigzag; the rows of the file, the first field after its schema.
    at = data.index(b"\x4c\x15\x02\x15\x00") + 2 if field == "dictionary" else None
    if at is None:
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        at = data.index(b"\x16\x06\x19\x1c", footer) + 1
    data[at] = 0x7E
    path.write_bytes(data)

    words = unreadable(qc)

    assert words == (
        "session.parquet: damaged: the declared sizes of its "
        + {"rows": "rows", "dictionary": "dictionaries"}[field]
        + " contradict each other"
    )


def test_statistics_that_contradict_the_schema_do_not_end_the_process(qc: Path) -> None:
    path = qc / "session.parquet"
    # As after a flipped bit: the column has statistics of NULL, but cannot be NULL.
    nullable, required = b"\x25\x02\x18\x02id", b"\x25\x00\x18\x02id"
    path.write_bytes(path.read_bytes().replace(nullable, required))

    assert unreadable(qc).startswith("session.parquet: Definition level histogram size mismatch")
