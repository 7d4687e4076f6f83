"""A database exported as a release, and loaded again."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import dirtmodel as dm
from dirtmodel import cli, database, groups
from dirtmodel import release as releases
from dirtmodel.release.layout import QC_FOLDER, TABLES

CONTENT = (*TABLES, "target", "picture", "review", "tally")
FMAP = dm.Step.FMAP_COREGISTRATION


def content(url: sa.URL) -> dict[str, list[Any]]:
    with database.connect(url) as connection:
        return {
            name: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {name}"))))
            for name in CONTENT
        }


def read(release: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(release / QC_FOLDER / f"{table}.parquet")


def test_an_export_loads_into_an_equal_database(
    loaded_url: sa.URL, new_url: sa.URL, tmp_path: Path
) -> None:
    dm.export(loaded_url, tmp_path / "out")

    dm.load(tmp_path / "out", new_url)

    with dm.diff(loaded_url, new_url) as found:
        assert not found.are_there()
    if database.is_sqlite(loaded_url) == database.is_sqlite(new_url):
        assert content(new_url) == content(loaded_url)


def test_columns_and_types_are_the_published_ones(
    loaded_url: sa.URL, release: Path, tmp_path: Path
) -> None:
    written = dm.export(loaded_url, tmp_path / "out")

    for table in TABLES:
        ours = pq.ParquetFile(tmp_path / "out" / QC_FOLDER / f"{table}.parquet")
        published = pq.ParquetFile(release / QC_FOLDER / f"{table}.parquet")
        assert ours.schema_arrow.names == published.schema_arrow.names
        assert ours.schema_arrow.types == published.schema_arrow.types
        assert ours.metadata.num_rows == written[table] == published.metadata.num_rows - 3


def test_row_groups_are_bounded_and_hold_no_pictures_in_the_footer(
    loaded_url: sa.URL, tmp_path: Path
) -> None:
    dm.export(loaded_url, tmp_path / "out")

    found = pq.ParquetFile(tmp_path / "out" / QC_FOLDER / "image.parquet").metadata
    row_groups = [found.row_group(n) for n in range(found.num_row_groups)]
    assert found.num_row_groups > 1
    assert max(group.num_rows for group in row_groups) <= 64
    assert all(group.column(1).statistics is None for group in row_groups)


def test_row_groups_have_few_bytes(
    loaded_url: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "BYTES", 1)

    written = dm.export(loaded_url, tmp_path / "out", step=dm.Step.DTIFIT)

    found = pq.ParquetFile(tmp_path / "out" / QC_FOLDER / "image.parquet").metadata
    assert found.num_row_groups == found.num_rows == written["image"]


def test_a_step_comes_with_its_reviews_and_their_sessions(
    loaded_url: sa.URL, tmp_path: Path
) -> None:
    dm.export(loaded_url, tmp_path / "out", step=FMAP)

    images = set(read(tmp_path / "out", "image")["id"])
    sessions = set(read(tmp_path / "out", "session")["id"])
    with dm.open(loaded_url) as db:
        assert images == set(db.scalars(sa.select(dm.Image.id).where(dm.Image.step == FMAP)))
        for model, table in ((dm.Rating, "rating"), (dm.Coordinate, "coordinate")):
            rows = read(tmp_path / "out", table)
            assert set(rows["id"]) == set(
                db.scalars(sa.select(model.id).where(model.img_id.in_(images)))
            )
            assert set(rows["session"]) <= sessions
    assert releases.check(tmp_path / "out")
    assert all(f.severity == "warning" for f in releases.check(tmp_path / "out"))


def test_a_participant_can_be_exported_alone(loaded_url: sa.URL, tmp_path: Path) -> None:
    with dm.open(loaded_url) as db:
        sub = db.scalars(sa.select(dm.Target.sub).where(dm.Target.sub.is_not(None))).first()

    result = CliRunner().invoke(
        cli.main,
        [
            "export",
            "--db",
            loaded_url.render_as_string(hide_password=False)
            if not database.is_sqlite(loaded_url)
            else str(loaded_url.database),
            str(tmp_path / "out"),
            "--sub",
            f"sub-{sub}",
        ],
    )

    assert result.exit_code == 0, result.output
    names = set(read(tmp_path / "out", "image")["file1"])
    assert names
    assert all(f"sub-{sub}" in name for name in names)


def test_raters_can_be_left_out(loaded_url: sa.URL, tmp_path: Path) -> None:
    dm.export(loaded_url, tmp_path / "out", users=False)

    users = read(tmp_path / "out", "session")["user"]
    assert users.null_count() == len(users) > 0


def test_a_folder_that_is_not_empty_is_left_unchanged(loaded_url: sa.URL, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")

    with pytest.raises(
        dm.OutputError, match="is not empty; choose a folder that does not exist yet"
    ):
        dm.export(loaded_url, tmp_path / "out")

    assert [file.name for file in tmp_path.rglob("*")] == ["out", "thesis.txt"]


def test_an_empty_folder_is_filled(loaded_url: sa.URL, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)

    dm.export(loaded_url, tmp_path / "out")

    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert all(f.severity == "warning" for f in releases.check(tmp_path / "out"))


def test_a_folder_without_a_parent_is_rejected(loaded_url: sa.URL, tmp_path: Path) -> None:
    with pytest.raises(dm.OutputError, match=r"no folder .*nowhere; make it with: mkdir"):
        dm.export(loaded_url, tmp_path / "nowhere" / "out")


def test_a_failed_export_leaves_nothing(
    loaded_url: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", full)

    with pytest.raises(dm.OutputError, match="No space left on device; choose another place"):
        dm.export(loaded_url, tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_participant_is_rejected(loaded_url: sa.URL, tmp_path: Path) -> None:
    with pytest.raises(dm.UsageError) as refused:
        dm.export(loaded_url, tmp_path / "out", sub=["sub-nobody"])

    assert str(refused.value) == (
        "there is no target with sub nobody; list what there is with: dirtmodel sql 'SELECT "
        "DISTINCT sub FROM target'"
    )
    assert list(tmp_path.iterdir()) == []
