"""The commands that show pictures, end to end, with an independent decoder."""

import hashlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from PIL import Image

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.cli import main
from dirtmodel.draw import colours
from dirtmodel.models import JUDGED_BY, STEP, Coordinate, JudgedBy, Rating
from dirtmodel.models import Image as Row

GOLD = (255, 215, 0)
BY_CLICKS = [step for step, how in JUDGED_BY.items() if how is JudgedBy.CLICKS]
Run = Callable[..., Result]


@pytest.fixture
def run(loaded_url: sa.URL) -> Run:
    return runner_on(loaded_url)


def runner_on(url: sa.URL) -> Run:
    def run(*args: object) -> Result:
        db = url.render_as_string(hide_password=False)
        if url.get_backend_name() == "sqlite":
            db = str(url.database)
        return CliRunner().invoke(main, [*map(str, args), "--db", db])

    return run


@pytest.fixture
def own(new_url: sa.URL, tmp_path: Path) -> sa.URL:
    """Return a small database that a test may damage, with hostile file names."""
    tables = sample.make_tables(
        subjects=2, slices=2, steps=[0, 3], picture_size=(64, 48), hazards=False
    )
    hostile = {
        "sub-10001": "../../sub-10001",
        "_desc-": "\x07\n_desc-",
        "mask": "<script>alert('é脑')</script>" + "x" * 300,
    }
    images = tables["image"]
    names = images.column("file1").to_pylist()
    for old, new in hostile.items():
        names = [name.replace(old, new) for name in names]
    place = images.column_names.index("file1")
    tables["image"] = images.set_column(place, "file1", pa.array(names, pa.large_string()))
    dm.load(sample.write_tables(tables, tmp_path / "hostile"), new_url)
    return new_url


def rgba(data: bytes | Path) -> list[np.ndarray]:
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        frames = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGBA")))
        return frames


def ringed(shape: tuple[int, ...], places: list[tuple[float, float]], reach: float) -> np.ndarray:
    """Return where rings (radius 10, this far in and out) and marks at the border may be."""
    columns, rows = np.arange(shape[1]) + 0.5, np.arange(shape[0])[:, None] + 0.5
    near = np.zeros(shape[:2], bool)
    for x, y in places:
        near |= np.abs(np.hypot(columns - x, rows - y) - 10) < reach
        if not (0 < x < shape[1] and 0 < y < shape[0]):
            edge = min(max(x, 0), shape[1]), min(max(y, 0), shape[0])
            near |= np.hypot(columns - edge[0], rows - edge[1]) < 16
    return near


def ids(db: Any, where: Any) -> list[int]:
    return list(db.scalars(sa.select(Row.id).where(where).order_by(Row.id)))


def clicked(db: Any, img_id: int) -> tuple[list[tuple[float, float]], set[str | None]]:
    clicks = [
        click
        for click in db.scalars(sa.select(Coordinate).where(Coordinate.img_id == img_id))
        if click.x is not None and click.y is not None and np.isfinite([click.x, click.y]).all()
    ]
    return [(click.x, click.y) for click in clicks], {click.session.user for click in clicks}


def test_rings_are_where_reviewers_clicked_and_nothing_else_changes(
    run: Run, loaded_url: sa.URL, tmp_path: Path
) -> None:
    with dm.open(loaded_url) as db:
        clicks = sa.select(Coordinate.img_id).where(Coordinate.x.is_not(None))
        chosen = ids(db, Row.step.in_(BY_CLICKS) & Row.id.in_(clicks))[:8]
        chosen += ids(db, Row.step.in_(BY_CLICKS) & Row.id.not_in(clicks))[:2]
        expected = {i: (db.get(Row, i).img, *clicked(db, i)) for i in chosen}
        users = db.scalars(sa.select(dm.Session.user).order_by(dm.Session.id))
        pens = colours.pens(users)
    n_clicked = 0
    for img_id, (data, places, raters) in expected.items():
        result = run("image", img_id, "-o", tmp_path / f"{img_id}.png")

        assert (result.exit_code, result.output) == (0, "")
        (original,), (drawn,) = rgba(data), rgba(tmp_path / f"{img_id}.png")
        height, width = original.shape[:2]
        drawn = drawn[:height, :width]
        near = ringed(original.shape, places, 2.5)
        np.testing.assert_array_equal(drawn[~near], original[~near])
        if len(raters) == 1:
            core = ringed(original.shape, places, 0.49) & near
            inside = [p for p in places if 0 < p[0] < width and 0 < p[1] < height]
            core &= ringed(original.shape, inside, 0.49)
            (rater,) = raters
            assert (drawn[core][:, :3] == pens[rater].colour).all()
            n_clicked += int(core.sum())
    assert n_clicked > 0


def click_on_an_animation(url: sa.URL) -> tuple[int, bytes]:
    """Add a click at (30, 20) to an image that is judged by verdict; return its id and picture."""
    with dm.open(url, read_only=False) as db:
        rating = db.scalars(sa.select(Rating)).first()
        assert rating is not None
        img_id, data = rating.img_id, rating.image.img
        db.add(
            Coordinate(
                id=10**6,
                x=30.0,
                y=20.0,
                img_id=img_id,
                session_id=rating.session_id,
                created=rating.created,
                source_data_issue=False,
            )
        )
        db.commit()
    return img_id, data


def test_clicks_that_do_not_decide_are_not_drawn(own: sa.URL, tmp_path: Path) -> None:
    img_id, data = click_on_an_animation(own)

    runner_on(own)("image", img_id, "-o", tmp_path / "coreg.gif")

    for before, after in zip(rgba(data), rgba(tmp_path / "coreg.gif"), strict=True):
        height, width = before.shape[:2]
        np.testing.assert_array_equal(after[:height, :width], before)


def test_every_frame_of_an_animation_has_rings(own: sa.URL, tmp_path: Path) -> None:
    img_id, data = click_on_an_animation(own)
    with database.engine(own).begin() as connection:
        connection.execute(sa.update(dm.Session).values(user="ann"))
        by_clicks = sa.update(STEP).values(judged_by="clicks")
        connection.execute(by_clicks.where(STEP.c.id == dm.Step.FMAP_COREGISTRATION))
    dm.refresh(own)

    result = runner_on(own)("image", img_id, "-o", tmp_path / "coreg.gif")

    assert result.exit_code == 0
    originals, drawn = rgba(data), rgba(tmp_path / "coreg.gif")
    assert len(drawn) == len(originals) == 2
    for before, after in zip(originals, drawn, strict=True):
        height, width = before.shape[:2]
        near = ringed(before.shape, [(30, 20)], 1.5)
        np.testing.assert_array_equal(after[:height, :width][~near], before[~near])
        core = ringed(before.shape, [(30, 20)], 0.3)
        assert (after[:height, :width][core][:, :3] == GOLD).all()
    with Image.open(io.BytesIO(data)) as one, Image.open(tmp_path / "coreg.gif") as other:
        assert (one.info.get("loop"), one.info["duration"]) == (
            other.info.get("loop"),
            other.info["duration"],
        )


def test_a_png_shows_the_frames_of_an_animation_side_by_side(
    run: Run, loaded_url: sa.URL, tmp_path: Path
) -> None:
    with dm.open(loaded_url) as db:
        (img_id, *_) = ids(db, Row.step == dm.Step.FMAP_COREGISTRATION)

    result = run("image", img_id, "-o", tmp_path / "coreg.png")

    assert result.exit_code == 0
    with Image.open(tmp_path / "coreg.png") as image:
        assert image.format == "PNG"
        assert image.width >= 2 * 96


def test_an_animation_stays_one_in_an_apng(run: Run, loaded_url: sa.URL, tmp_path: Path) -> None:
    with dm.open(loaded_url) as db:
        (img_id, *_) = ids(db, Row.step == dm.Step.FMAP_COREGISTRATION)

    result = run("image", img_id, "-o", tmp_path / "coreg.apng")

    assert result.exit_code == 0
    with Image.open(tmp_path / "coreg.apng") as image:
        assert (image.format, image.n_frames, image.width) == ("PNG", 2, 300)


def test_a_sheet_of_failures_shows_each_bad_image_once(
    run: Run, loaded_url: sa.URL, tmp_path: Path
) -> None:
    with dm.open(loaded_url) as db:
        n_bad = len(dm.Images(step=dm.Step.FMAP_COREGISTRATION, status="excluded").run(db))

    result = run(
        "sheet", "--step", "fmap_coregistration", "--status", "excluded",
        "-o", tmp_path / "failures.png",
    )  # fmt: skip

    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == f"Drew {n_bad} images: {tmp_path / 'failures.png'}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["failures.png"]
    (page,) = rgba(tmp_path / "failures.png")
    assert page.shape[1] == 6 * 300 + 5 * 10 + 20


def test_many_images_fill_numbered_pages(run: Run, tmp_path: Path) -> None:
    result = run("sheet", "--step", "mask", "--step", "3", "-o", tmp_path / "all.png", "--quiet")

    assert (result.exit_code, result.output) == (0, "")
    pages = sorted(file.name for file in tmp_path.iterdir())
    assert pages == [f"all-{number:02}.png" for number in range(1, len(pages) + 1)]
    assert len(pages) > 1


def damage(url: sa.URL, img_id: int) -> None:
    """Damage a picture by plain SQL, because sessions of dirtmodel refuse to."""
    with database.engine(url).begin() as connection:
        broken = {"img": b"\x89PNG\r\n\x1a\nbroken"}
        connection.execute(sa.update(Row.__table__).where(Row.id == img_id).values(broken))


def test_a_damaged_picture_is_an_empty_cell_of_its_sheet(own: sa.URL, tmp_path: Path) -> None:
    run = runner_on(own)
    with dm.open(own) as db:
        bad, *others = ids(db, Row.step == dm.Step.MASK)
    run("sheet", "--step", "mask", "-o", tmp_path / "whole.png")
    damage(own, bad)

    result = run("sheet", "--step", "mask", "-o", tmp_path / "damaged.png")

    assert result.exit_code == 0
    assert others
    (whole,), (page,) = rgba(tmp_path / "whole.png"), rgba(tmp_path / "damaged.png")
    assert (page[..., :3] == (0xEE, 0xEE, 0xEE)).all(axis=-1).sum() > 20_000
    assert not (whole[..., :3] == (0xEE, 0xEE, 0xEE)).all(axis=-1).sum() > 20_000


def test_a_damaged_picture_is_named_in_one_line(own: sa.URL, tmp_path: Path) -> None:
    run = runner_on(own)
    with dm.open(own) as db:
        img_id, *others = ids(db, Row.step == dm.Step.MASK)
    damage(own, img_id)

    single = run("image", img_id, "-o", tmp_path / "x.png")
    extracted = run("extract", "--step", "mask", "-o", tmp_path / "all")

    assert (single.exit_code, single.stderr) == (
        2,
        (
            f"Error: image {img_id}: the picture is truncated (nothing after 14 bytes); "
            "`dirtmodel check --decode RELEASE` lists every such picture of a release\n"
        ),
    )
    assert (extracted.exit_code, extracted.stderr) == (
        2,
        (
            f"Error: image {img_id}: the picture is not what was loaded (its SHA-256 differs); "
            "load the release again with: dirtmodel load RELEASE --replace. "
            f"The other {len(others)} have been written\n"
        ),
    )
    assert not (tmp_path / "x.png").exists()
    assert len(list((tmp_path / "all").iterdir())) == len(others)


def test_extracted_files_hold_the_bytes_of_the_release(
    run: Run, release: Path, tmp_path: Path
) -> None:
    (path,) = release.rglob("image.parquet")
    table = pq.read_table(path, columns=["id", "step", "img"]).to_pylist()
    expected = {
        row["id"]: hashlib.sha256(row["img"]).hexdigest() for row in table if row["step"] in {0, 3}
    }

    result = run("extract", "--step", "mask", "--step", "3", "-o", tmp_path / "a" / "pictures")

    assert result.exit_code == 0
    assert result.stderr == f"Extracted {len(expected)} images to {tmp_path / 'a' / 'pictures'}\n"
    written = {
        int(file.stem.rpartition("img-")[2]): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (tmp_path / "a" / "pictures").iterdir()
    }
    assert written == expected


def test_files_are_named_by_what_they_show(run: Run, loaded_url: sa.URL, tmp_path: Path) -> None:
    with dm.open(loaded_url) as db:
        row, *_ = dm.Images(scan="rest1", display=dm.DisplayMode.X, slice=1).run(db)

    run("extract", "--id", row.id, "-o", tmp_path)

    (file,) = tmp_path.iterdir()
    assert file.name == (
        f"sub-{row.sub}_ses-{row.ses}_task-rest_run-1_step-fmapcoregistration_display-x_slice-1"
        f"_img-{row.id}.gif"
    )


def test_nothing_is_written_outside_of_the_folder(own: sa.URL, tmp_path: Path) -> None:
    run = runner_on(own)
    folder, outside = tmp_path / "deep" / "pictures", tmp_path / "outside.txt"
    outside.write_text("untouched")
    run("extract", "-o", folder)
    names = sorted(file.name for file in folder.iterdir())
    for name, target in zip(names, [outside, tmp_path / "dangling"], strict=False):
        (folder / name).unlink()
        (folder / name).symlink_to(target)
    before = sorted(tmp_path.rglob("*"))

    refused = run("extract", "-o", folder)
    replaced = run("extract", "-o", folder, "--replace")

    assert refused.exit_code == 2
    assert refused.stderr == (
        f"Error: {folder / names[0]} (and {len(names) - 1} more) exists already; choose another "
        "path, or add --replace (in Python replace=True)\n"
    )
    assert replaced.exit_code == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert outside.read_text() == "untouched"
    assert not any(file.is_symlink() for file in folder.iterdir())
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.(png|gif)", name) for name in names)
    assert max(map(len, names)) < 200


def test_captions_and_labels_accept_any_file_name(own: sa.URL, tmp_path: Path) -> None:
    run = runner_on(own)
    with dm.open(own) as db:
        (img_id, *_) = ids(db, Row.step == dm.Step.MASK)

    assert run("image", img_id, "-o", tmp_path / "one.png").exit_code == 0
    assert run("sheet", "--step", "mask", "-o", tmp_path / "all.png").exit_code == 0
    assert rgba(tmp_path / "one.png")[0].shape[1] == 300


def picture_box(drawn: np.ndarray) -> tuple[int, int, int, int]:
    """Return the edges of the dark picture in a heat map; the scale is to its right."""
    dark = drawn[..., :3].max(axis=-1) < 200
    columns = np.flatnonzero(dark.sum(axis=0) > drawn.shape[0] / 3)
    gaps = np.flatnonzero(np.diff(columns) > 1)
    columns = columns[: gaps[0] + 1] if gaps.size else columns
    rows = np.flatnonzero(dark[:, columns].mean(axis=1) > 0.5)
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_a_heat_map_is_hot_where_reviewers_clicked(own: sa.URL, tmp_path: Path) -> None:
    run = runner_on(own)
    with dm.open(own, read_only=False) as db:
        wanted = dm.Images(step=dm.Step.MASK, display=dm.DisplayMode.X, slice=1)
        img_ids = [image.id for image in wanted.run(db)]
        of_images = Coordinate.img_id.in_(img_ids)
        db.execute(sa.delete(Coordinate).where(of_images))
        session = dm.Session(
            id=10**6, step=dm.Step.MASK, user="zoë", created=db.scalar(sa.select(Row.created))
        )
        for number, img_id in enumerate(img_ids):
            session.coordinates.append(
                Coordinate(
                    id=10**6 + number,
                    x=16.5,
                    y=30.5,
                    img_id=img_id,
                    created=session.created,
                    source_data_issue=False,
                )
            )
        db.add(session)
        db.commit()

    result = run(
        "heatmap", "--step", "mask", "--display", "x", "--slice", 1, "--sigma", 3,
        "--rater", "zoë", "-o", tmp_path / "clicks.png",
    )  # fmt: skip

    assert (result.exit_code, result.output) == (0, "")
    (drawn,) = rgba(tmp_path / "clicks.png")
    left, top, right, bottom = picture_box(drawn)
    picture = drawn[top:bottom, left:right, :3].astype(int)
    y, x = (places.mean() for places in np.nonzero(np.ptp(picture, axis=-1) > 60))
    scale = (right - left) / 64
    assert (x / scale, y / scale) == pytest.approx((16, 30), abs=2)


def test_existing_files_are_replaced_only_on_request(
    run: Run, loaded_url: sa.URL, tmp_path: Path
) -> None:
    with dm.open(loaded_url) as db:
        (img_id, *_) = ids(db, Row.step == dm.Step.MASK)
    commands = {
        "fail.png": ("image", img_id),
        "sheet.png": ("sheet", "--id", img_id),
        "clicks.png": ("heatmap", "--step", "mask", "--display", "x"),
    }
    for name, command in commands.items():
        path = tmp_path / name
        path.write_text("mine")

        refused = run(*command, "-o", path)

        assert refused.exit_code == 2
        assert refused.stderr == (
            f"Error: {path} exists already; choose another path, or add --replace "
            "(in Python replace=True)\n"
        )
        assert path.read_text() == "mine"
        assert run(*command, "-o", path, "--replace").exit_code == 0
        assert rgba(path)
    (tmp_path / "pages-01.png").write_text("mine")
    assert run("sheet", "--id", img_id, "-o", tmp_path / "pages.png").exit_code == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["image", 10**9, "-o", "x.png"],
            (
                "there is no image 1000000000 in this database; "
                "`dirtmodel exclusions` names images in its column image_ids"
            ),
        ),
        (
            ["sheet", "--id", 10**9, "--id", 10**9 + 1, "--step", "mask", "-o", "x.png"],
            (
                "there is no image 1000000000 (nor 1 more) in this database that meets the other "
                "conditions; `dirtmodel exclusions` names images in its column image_ids"
            ),
        ),
        (
            ["sheet", "--slice", "99", "-o", "x.png"],
            "no image matches --slice 99; `dirtmodel coverage --targets` lists what there is",
        ),
        (
            ["extract", "--step", "mask", "--slice", 99, "-o", "x"],
            (
                "no image matches --step mask --slice 99; "
                "`dirtmodel coverage --targets` lists what there is"
            ),
        ),
        (
            ["heatmap", "--step", "dtifit", "--display", "z", "-o", "x.png"],
            (
                "dtifit is judged by verdicts, and verdicts have no place on a picture; choose a "
                "step that is judged by clicks: mask, spatial_normalization, surface_localization"
            ),
        ),
        (
            ["heatmap", "--step", "mask", "--display", "z", "--sigma", 0, "-o", "x.png"],
            "sigma must be a positive number of pixels, not 0",
        ),
        (
            ["heatmap", "--step", "mask", "--display", "z", "--sigma", 1e6, "-o", "x.png"],
            "sigma is 1e+06 pixels, wider than any picture; choose less",
        ),
    ],
)
def test_what_cannot_be_shown_is_an_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)

    result = run(*args)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {message}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_heat_map_needs_reviews(run: Run, tmp_path: Path) -> None:
    result = run(
        "heatmap", "--step", "mask", "--display", "x", "--rater", "nobody", "-o", tmp_path / "x.png"
    )

    assert result.exit_code == 2
    assert re.fullmatch(
        r"Error: none of the images that match --step mask --display x has been reviewed by "
        r"'nobody'; raters are named as in session\.user\n",
        result.stderr,
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["image", 1],
            "pictures are not for a terminal; say where they go, for example -o fail.png",
        ),
        (
            ["sheet", "-o", "-"],
            "pictures are not for stdout; say where they go, for example -o failures.png",
        ),
        (["extract"], "pictures are not for stdout; say where they go, for example -o pictures/"),
        (
            ["image", 1, "-o", "x.jpg"],
            "x.jpg is not a .png, .gif or .apng file; write for example -o fail.png",
        ),
        (["sheet", "-o", "x.gif"], "x.gif is not a .png file; write for example -o failures.png"),
    ],
)
def test_usage_errors_propose_what_to_write(args: list[object], message: str) -> None:
    result = CliRunner().invoke(main, [*map(str, args), "--db", "dirt.db"])

    assert result.exit_code == 2
    assert result.stderr.endswith(f"Error: {message}\n")


def test_a_png_cannot_become_a_gif(run: Run, loaded_url: sa.URL, tmp_path: Path) -> None:
    with dm.open(loaded_url) as db:
        (img_id, *_) = ids(db, Row.step == dm.Step.MASK)

    result = run("image", img_id, "-o", tmp_path / "x.gif")

    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: image {img_id} is a PNG and cannot become a GIF; write a .png file\n"
    )


def test_a_folder_that_cannot_be_made_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = run("extract", "--step", "mask", "-o", tmp_path / "file" / "below")

    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: cannot make the folder {tmp_path / 'file' / 'below'}: Not a directory; "
        "choose another path\n"
    )


def test_a_full_disk_leaves_no_partial_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, moved = Path.replace, []

    def full(path: Path, target: Path) -> None:
        if moved:
            raise OSError(28, os.strerror(28))
        moved.append(move(path, target))

    monkeypatch.setattr(Path, "replace", full)
    folder = tmp_path / "pictures"

    result = run("extract", "--step", "mask", "-o", folder)

    assert result.exit_code == 2
    assert re.fullmatch(
        rf"Error: cannot write {folder}/\S+\.png: No space left on device; "
        rf"no file is left behind\. {folder} is incomplete: 1 of \d+ pictures have been written\n",
        result.stderr,
    )
    assert list(folder.iterdir()) == moved


@pytest.mark.parametrize(("step", "start"), [("mask", b"\x89PNG"), ("dtifit", b"GIF89a")])
def test_a_pipe_receives_the_picture(run: Run, loaded_url: sa.URL, step: str, start: bytes) -> None:
    with dm.open(loaded_url) as db:
        (img_id, *_) = ids(db, Row.step == dm.Step[step.upper()])

    result = run("image", img_id, "-o", "-")

    assert result.exit_code == 0
    assert result.stdout_bytes.startswith(start)
