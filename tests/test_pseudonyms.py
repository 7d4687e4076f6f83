"""Pseudonyms are the same in all results of a database and a key, without names and notes."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from PIL import Image as PillowImage
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import cli, pseudonyms
from dirtmodel.release.layout import QC_FOLDER

FMAP = dm.Step.FMAP_COREGISTRATION
KEY = b"a long random text"

Run = Callable[..., Result]


@pytest.fixture
def users(db: orm.Session) -> list[str]:
    return sorted(filter(None, db.scalars(sa.select(dm.Session.user).distinct())))


@pytest.fixture
def run(loaded_url: sa.URL) -> Run:
    place = loaded_url.render_as_string(hide_password=False)
    return lambda *args: CliRunner().invoke(
        cli.main, list(map(str, args)), env={"DIRTMODEL_DB": place}
    )


class TestNumbering:
    def test_every_rater_has_one_number(self, db: orm.Session, users: list[str]) -> None:
        numbered = pseudonyms.numbering(db.connection())

        assert sorted(numbered) == users
        assert sorted(numbered.values()) == [f"rater-{n:02}" for n in range(1, len(users) + 1)]

    def test_the_order_is_that_of_a_keyed_hash(self, db: orm.Session, users: list[str]) -> None:
        import hashlib
        import hmac

        numbered = pseudonyms.numbering(db.connection(), KEY)

        by_hash = sorted(users, key=lambda name: hmac.digest(KEY, name.encode(), hashlib.sha256))
        assert list(numbered) == by_hash

    def test_another_key_gives_another_order(self, db: orm.Session) -> None:
        keys = (True, *(bytes([n]) for n in range(1, 9)))

        orders = {tuple(pseudonyms.numbering(db.connection(), key)) for key in keys}

        assert len(orders) > 1

    def test_the_default_key_follows_from_the_files_of_the_release(
        self, db: orm.Session, release: Path, tmp_path: Path
    ) -> None:
        dm.load(release, tmp_path / "another.db", label="another")

        with dm.open(tmp_path / "another.db") as another:
            numbered = pseudonyms.numbering(another.connection())

        assert list(numbered.items()) == list(pseudonyms.numbering(db.connection()).items())

    def test_an_empty_key_is_refused(self, db: orm.Session) -> None:
        with pytest.raises(dm.UsageError) as refused:
            dm.use_pseudonyms(db, b"")

        assert str(refused.value) == (
            "the key of the pseudonyms is empty; use a file with a long random text"
        )

    def test_a_database_without_files_needs_a_key(self, new_url: sa.URL, release: Path) -> None:
        dm.load(release, new_url)
        with dm.open(new_url, read_only=False) as session:
            session.execute(sa.delete(dm.ReleaseFile))
            with pytest.raises(dm.UsageError) as refused:
                dm.use_pseudonyms(session)
            dm.use_pseudonyms(session, KEY)

        assert str(refused.value) == (
            "the database does not record the files of a release, from which the key of the "
            "pseudonyms is derived; name a file with a key: --pseudonyms-key FILE"
        )

    def test_a_rater_that_appears_later_is_not_named(self, db: orm.Session) -> None:
        dm.use_pseudonyms(db)

        with pytest.raises(dm.DatabaseError, match="another program added a rater to the database"):
            pseudonyms.rater(db, "latecomer")


class TestQueries:
    def test_reviews_have_pseudonyms_and_no_notes(self, db: orm.Session) -> None:
        from dirtmodel.queries.images import Reviews

        ids = db.scalars(sa.select(dm.Image.id)).all()
        named = Reviews(ids).run(db)
        numbered = pseudonyms.numbering(db.connection())

        dm.use_pseudonyms(db)
        found = Reviews(ids).run(db)

        assert any(review.notes for review in named)
        assert {review.notes for review in found} == {None}
        assert [r.rater for r in found] == [r.rater and numbered[r.rater] for r in named]

    def test_agreement_is_the_same_under_other_names(self, db: orm.Session) -> None:
        named = dm.Agreement(FMAP).run(db)
        numbered = pseudonyms.numbering(db.connection())

        dm.use_pseudonyms(db)
        found = dm.Agreement(FMAP).run(db)

        assert {numbered[str(r.rater)]: r.n for r in named.raters_prevalence} == {
            r.rater: r.n for r in found.raters_prevalence
        }
        assert [r.rater for r in found.raters_prevalence] == sorted(
            str(r.rater) for r in found.raters_prevalence
        )
        assert [c.value for c in found.coefficients] == pytest.approx(
            [c.value for c in named.coefficients]
        )

    def test_user_names_return_on_request(self, db: orm.Session, users: list[str]) -> None:
        dm.use_pseudonyms(db)

        dm.use_pseudonyms(db, False)

        assert not pseudonyms.are_used(db)
        assert pseudonyms.rater(db, users[0]) == users[0]


class TestCommands:
    @pytest.mark.parametrize(
        "command",
        [
            ("agreement", "--step", "fmap_coregistration"),
            ("agreement", "--step", "fmap_coregistration", "--format", "json"),
            ("agreement", "--step", "fmap_coregistration", "--disagreements", "--format", "csv"),
            ("consensus", "--step", "fmap_coregistration", "--raters"),
            ("consensus", "--step", "mask", "--format", "json"),
        ],
    )
    def test_print_pseudonyms_only(self, run: Run, users: list[str], command: list[str]) -> None:
        result = run(*command, "--pseudonyms")

        assert result.exit_code == 0, result.output
        assert not [name for name in users if name in result.output]
        assert re.search(r"\brater-0\d\b", result.output)

    def test_the_same_key_has_the_same_pseudonyms(
        self, run: Run, db: orm.Session, tmp_path: Path
    ) -> None:
        (tmp_path / "key").write_bytes(KEY + b"\n")

        result = run(
            *("consensus", "--step", FMAP, "--raters", "--format", "csv"),
            *("--pseudonyms-key", tmp_path / "key"),
        )

        numbered = pseudonyms.numbering(db.connection(), KEY)
        expected = {numbered[rater.rater] for rater in dm.Consensus(FMAP).run(db).raters}
        assert {line.split(",")[0] for line in result.stdout.splitlines()[1:]} == expected

    def test_a_key_that_cannot_be_read_is_reported(self, run: Run, tmp_path: Path) -> None:
        result = run("consensus", "--step", FMAP, "--pseudonyms-key", tmp_path / "none")

        assert result.exit_code == 2
        assert result.stderr == (
            "Error: cannot read the key of the pseudonyms from "
            f"{tmp_path / 'none'}: No such file or directory; name another file, or leave "
            "--pseudonyms-key out\n"
        )

    def test_pictures_show_no_names(self, run: Run, db: orm.Session, tmp_path: Path) -> None:
        failed = dm.Exclusions(step=FMAP).run(db)[0].image_ids[0]

        drawn = []
        for options in ((), ("--pseudonyms",)):
            for command in (("image", failed), ("sheet", "--id", failed)):
                out = tmp_path / f"{len(drawn)}.png"
                assert run(*command, "-o", out, *options).exit_code == 0
                drawn.append(PillowImage.open(io.BytesIO(out.read_bytes())).tobytes())

        assert len(set(drawn)) == 4

    def test_an_export_has_pseudonyms_and_no_notes(
        self, loaded_url: sa.URL, db: orm.Session, tmp_path: Path
    ) -> None:
        named = dict(iter(db.execute(sa.select(dm.Session.id, dm.Session.user))))
        numbered = pseudonyms.numbering(db.connection())

        dm.export(loaded_url, tmp_path / "out", pseudonyms=True)

        qc = tmp_path / "out" / QC_FOLDER
        sessions = pl.read_parquet(qc / "session.parquet")
        assert dict(sessions.select("id", "user").iter_rows()) == {
            id_: user and numbered[user] for id_, user in named.items()
        }
        for table in ("rating", "coordinate"):
            notes = pl.read_parquet(qc / f"{table}.parquet")["notes"]
            assert notes.null_count() == len(notes) > 0

    def test_an_export_without_users_has_no_pseudonyms(self, run: Run, tmp_path: Path) -> None:
        result = run("export", tmp_path / "out", "--no-users", "--pseudonyms")

        assert (result.exit_code, result.stderr) == (
            2,
            "Error: pseudonyms replace the users, which are left out; choose only one\n",
        )
