"""Finding a release, and the messages when it is not found."""

from pathlib import Path

import pytest

from dirtmodel import ReleaseError
from dirtmodel import release as releases
from dirtmodel.release.layout import QC_FOLDER, TABLES, file_name


def make(top: Path, tables: tuple[str, ...] = TABLES, inside: Path = QC_FOLDER) -> Path:
    folder = top / inside
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        (folder / file_name(table)).touch()
    return folder


@pytest.mark.parametrize("depth", range(5))
def test_the_qc_folder_and_every_folder_above_it_name_the_release(
    tmp_path: Path, depth: int
) -> None:
    folder = make(tmp_path / "release-3.0")
    named = [folder, *folder.parents][depth]

    found = releases.find(named)

    assert found.folder == folder
    assert found.name == "release-3.0"
    assert [found.absent(table) for table in TABLES] == [None] * 4


def test_a_relative_path_is_found_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "release-3.0")
    monkeypatch.chdir(folder)

    found = releases.find(Path())

    assert found.folder == folder
    assert found.name == "release-3.0"


def test_files_outside_the_documented_layout_are_named_by_their_folder(tmp_path: Path) -> None:
    make(tmp_path, inside=Path("anywhere"))

    found = releases.find(tmp_path / "anywhere")

    assert found.folder == tmp_path / "anywhere"
    assert found.name == "anywhere"


def test_the_named_folder_wins_over_a_release_below_it(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path, inside=Path())

    found = releases.find(tmp_path)

    assert found.folder == tmp_path


def test_a_partial_release_is_found_and_its_missing_files_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "partial", ("rating", "image"))

    found = releases.find(tmp_path / "partial")

    absent = [found.absent(table) for table in TABLES]
    assert absent == [
        str(folder / "session.parquet"),
        None,
        None,
        str(folder / "coordinate.parquet"),
    ]


def test_a_folder_without_any_of_the_files_is_not_a_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError) as caught:
        releases.find(tmp_path)

    assert str(caught.value) == (
        f"no release in {tmp_path}: neither it nor pre-surgery/mris/derivatives/qc below it "
        "contains session.parquet, image.parquet, rating.parquet, coordinate.parquet"
    )


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError) as caught:
        releases.find(tmp_path / "nowhere")

    assert str(caught.value) == (
        f"{tmp_path / 'nowhere'} does not exist; a release is a folder with "
        "session.parquet, image.parquet, rating.parquet, coordinate.parquet"
    )


def test_a_file_is_not_a_release(tmp_path: Path) -> None:
    folder = make(tmp_path)

    with pytest.raises(ReleaseError) as caught:
        releases.find(folder / "rating.parquet")

    assert str(caught.value) == (
        f"{folder / 'rating.parquet'} is a file; use the path of the folder that contains it; a "
        "release is a folder with "
        "session.parquet, image.parquet, rating.parquet, coordinate.parquet"
    )
