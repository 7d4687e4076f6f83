"""The models: DIRT's schema under the release's names, and how values are stored and read."""

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database
from dirtmodel.models import (
    JUDGED_BY,
    Base,
    Finding,
    IntEnumType,
    Quarantine,
    ReleaseFile,
    UTCDateTime,
)

NOON = dt.datetime(2025, 7, 23, 12, 0, 0, 123456, tzinfo=dt.UTC)

# DIRT's Django models with Django's names: name, type, nullable, reference.
DIRT = {
    "ratings_session": [
        ("id", "bigint", False, None),
        ("step", "integer", False, None),
        ("created", "timestamptz", False, None),
        ("user", "text", True, None),
    ],
    "ratings_image": [
        ("id", "bigint", False, None),
        ("img", "bytea", False, None),
        ("slice", "integer", True, None),
        ("file1", "text", False, None),
        ("file2", "text", True, None),
        ("display", "integer", False, None),
        ("step", "integer", False, None),
        ("created", "timestamptz", False, None),
    ],
    "ratings_rating": [
        ("id", "bigint", False, None),
        ("source_data_issue", "boolean", False, None),
        ("created", "timestamptz", False, None),
        ("rating", "integer", False, None),
        ("image_id", "bigint", False, "ratings_image.id"),
        ("session_id", "bigint", False, "ratings_session.id"),
        ("comments", "text", False, None),
    ],
    "ratings_clickedcoordinate": [
        ("id", "bigint", False, None),
        ("source_data_issue", "boolean", False, None),
        ("created", "timestamptz", False, None),
        ("x", "double", True, None),
        ("y", "double", True, None),
        ("image_id", "bigint", False, "ratings_image.id"),
        ("session_id", "bigint", False, "ratings_session.id"),
        ("comments", "text", False, None),
    ],
}
TABLE_NAMES = {
    "ratings_session": "session",
    "ratings_image": "image",
    "ratings_rating": "rating",
    "ratings_clickedcoordinate": "coordinate",
}
COLUMN_NAMES = {"image_id": "img_id", "session_id": "session", "comments": "notes"}
# The release publishes empty comments as NULL, and the database keeps NULL.
DEVIATES = {"notes": {"nullable": True}}
# The database has a lookup table for each set of choices in Django.
LOOKED_UP = {
    "step": {"references": "step.id"},
    "display": {"references": "display.id"},
    "rating": {"references": "verdict.id"},
}

TYPES = {
    "bigint": "BIGINT",
    "integer": "INTEGER",
    "double": "DOUBLE PRECISION",
    "boolean": "BOOLEAN",
    "text": "TEXT",
    "bytea": "BYTEA",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
}


@pytest.fixture
def session(empty_url: sa.URL) -> Iterator[orm.Session]:
    """A session that can write to an empty schema; nothing of it is kept."""
    with database.engine(empty_url).connect() as connection, connection.begin() as kept:
        with orm.Session(connection, join_transaction_mode="create_savepoint") as opened:
            yield opened
        kept.rollback()


def one_of_each() -> list[Base]:
    return [
        dm.Session(id=1, step=dm.Step.FMAP_COREGISTRATION, user=None, created=NOON),
        dm.Image(
            id=2,
            slice=None,
            file1="sub-10003_bold.nii.gz",
            display=dm.DisplayMode.Z,
            step=dm.Step.FMAP_COREGISTRATION,
            created=NOON,
            img=b"GIF89a",
        ),
        dm.Rating(
            id=3,
            source_data_issue=False,
            rating=dm.Ratings.FAIL,
            img_id=2,
            session_id=1,
            created=NOON,
        ),
        dm.Coordinate(
            id=4, source_data_issue=True, x=1.5, y=None, img_id=2, session_id=1, created=NOON
        ),
        dm.Target(id=5, step=dm.Step.FMAP_COREGISTRATION, file1="sub-10003_bold.nii.gz"),
        dm.Picture(
            img_id=2, target_id=5, format="GIF", width=7, height=8, n_bytes=6, sha256="0" * 64
        ),
        dm.Review(
            img_id=2,
            kind="rating",
            id=3,
            target_id=5,
            session_id=1,
            step=dm.Step.FMAP_COREGISTRATION,
            created=NOON,
            verdict=dm.Ratings.FAIL,
            source_data_issue=False,
            decides=True,
            latest=True,
        ),
        dm.Tally(
            img_id=2,
            target_id=5,
            n_reviews=1,
            n_pass=0,
            n_unsure=0,
            n_fail=1,
            n_clicks=0,
            n_source_data_issues=0,
        ),
        dm.Release(id=1, label="3.0", source="/data/qc", loaded_at=NOON, dirtmodel_version="0.1.0"),
        ReleaseFile(name="image.parquet", n_rows=1, n_empty_rows=3, n_bytes=9, sha256="0" * 64),
        Finding(
            id=1,
            code="empty-rows",
            severity="warning",
            file="image.parquet",
            message="dropped",
            n=3,
            examples=[],
        ),
        Quarantine(table="rating", file_row=7, id=None, code="null-id", reason="id", row={}),
    ]


def add_one_of_each(session: orm.Session) -> None:
    derived = (dm.Picture, dm.Review, dm.Tally)
    rows = one_of_each()
    session.add_all(row for row in rows if not isinstance(row, derived))
    session.flush()
    # Relationships to derived rows are read-only, so the test chooses the order of insertion.
    session.add_all(row for row in rows if isinstance(row, derived))
    session.flush()


class TestEnums:
    def test_steps_are_dirt_s(self) -> None:
        assert {member.name: int(member) for member in dm.Step} == {
            "MASK": 0,
            "SPATIAL_NORMALIZATION": 1,
            "SURFACE_LOCALIZATION": 2,
            "FMAP_COREGISTRATION": 3,
            "DTIFIT": 4,
        }

    def test_displays_are_dirt_s(self) -> None:
        assert {member.name: int(member) for member in dm.DisplayMode} == {"X": 0, "Y": 1, "Z": 2}

    def test_verdicts_are_dirt_s(self) -> None:
        assert {m.name: int(m) for m in dm.Ratings} == {"PASS": 0, "UNSURE": 1, "FAIL": 2}

    def test_the_first_three_steps_are_judged_by_clicks_and_the_others_by_verdict(self) -> None:
        assert {int(step): str(judged_by) for step, judged_by in JUDGED_BY.items()} == {
            0: "clicks",
            1: "clicks",
            2: "clicks",
            3: "verdict",
            4: "verdict",
        }

    @pytest.mark.parametrize(
        ("kind", "number", "name"),
        [(dm.Step, 5, "STEP_5"), (dm.DisplayMode, 99, "DISPLAY_99"), (dm.Ratings, 3, "RATING_3")],
    )
    def test_a_number_that_dirt_does_not_define_is_a_member_with_a_placeholder_name(
        self, kind: type[dm.Step], number: int, name: str
    ) -> None:
        member = kind(number)

        assert member.name == name
        assert member == number
        assert kind(number) is member
        assert member not in list(kind)


class TestLookups:
    @pytest.mark.parametrize(
        ("table", "kind"), [("step", dm.Step), ("display", dm.DisplayMode), ("verdict", dm.Ratings)]
    )
    def test_hold_the_numbers_and_names_of_the_enum(
        self, session: orm.Session, table: str, kind: type[dm.Step]
    ) -> None:
        found = session.execute(sa.text(f"SELECT id, name FROM {table} ORDER BY id")).all()

        assert [tuple(row) for row in found] == [(int(member), member.name) for member in kind]

    def test_of_steps_hold_how_each_one_is_judged(self, session: orm.Session) -> None:
        found = session.execute(sa.text("SELECT id, judged_by FROM step ORDER BY id")).all()

        assert [tuple(row) for row in found] == [
            (int(step), str(judged_by)) for step, judged_by in JUDGED_BY.items()
        ]

    def test_of_steps_accept_no_other_way_to_judge(self, session: orm.Session) -> None:
        with pytest.raises(sa.exc.IntegrityError, match="ck_step_judged_by"):
            session.execute(sa.text("INSERT INTO step VALUES (5, 'STEP_5', 'dice')"))

    def test_names_are_unique(self, session: orm.Session) -> None:
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(sa.text("INSERT INTO step VALUES (5, 'MASK', 'clicks')"))


class TestSchema:
    @pytest.mark.parametrize("table", DIRT)
    def test_mirrors_dirt_s_fields(self, table: str) -> None:
        from sqlalchemy.dialects import postgresql

        expected = {}
        for name, type_, nullable, reference in DIRT[table]:
            ours = COLUMN_NAMES.get(name, name)
            referred = None
            if reference:
                parent, _, key = reference.partition(".")
                referred = f"{TABLE_NAMES[parent]}.{key}"
            described = {"type": TYPES[type_], "nullable": nullable, "references": referred}
            expected[ours] = described | DEVIATES.get(ours, {}) | LOOKED_UP.get(name, {})

        columns = Base.metadata.tables[TABLE_NAMES[table]].columns
        found = {
            column.name: {
                "type": column.type.compile(postgresql.dialect()),
                "nullable": column.nullable,
                "references": next((key.target_fullname for key in column.foreign_keys), None),
            }
            for column in columns
        }
        assert found == expected
        assert [column.name for column in columns if column.primary_key] == ["id"]

    def test_image_meta_is_the_only_unique_key_of_the_mirrored_tables(self) -> None:
        uniques = {
            (table, constraint.name): [column.name for column in constraint.columns]
            for table in TABLE_NAMES.values()
            for constraint in Base.metadata.tables[table].constraints
            if isinstance(constraint, sa.UniqueConstraint)
        }
        assert uniques == {("image", "image_meta"): ["slice", "file1", "display", "step"]}

    def test_no_column_has_a_default_in_the_database(self) -> None:
        columns = [column for table in Base.metadata.tables.values() for column in table.columns]
        assert [column for column in columns if column.server_default is not None] == []

    def test_every_table_and_column_has_a_comment(self) -> None:
        tables = Base.metadata.tables.values()
        assert all(table.comment for table in tables)
        assert [str(c) for table in tables for c in table.columns if not c.comment] == []

    def test_every_constraint_has_a_name(self) -> None:
        constraints = [c for t in Base.metadata.tables.values() for c in t.constraints]
        assert [constraint for constraint in constraints if not constraint.name] == []

    def test_the_picture_is_the_last_column(self) -> None:
        assert list(Base.metadata.tables["image"].columns)[-1].name == "img"

    def test_nullable_notes_are_the_only_deviation_from_dirt(self) -> None:
        assert DEVIATES == {"notes": {"nullable": True}}


class TestIntEnumType:
    def test_stores_the_integer_and_returns_the_member(self, session: orm.Session) -> None:
        add_one_of_each(session)
        session.expire_all()
        stored = session.execute(sa.text("SELECT rating FROM rating")).scalar_one()
        found = session.get_one(dm.Rating, 3).rating
        assert (stored, type(stored)) == (2, int)
        assert found is dm.Ratings.FAIL

    def test_keeps_null(self) -> None:
        dialect = sa.create_engine("sqlite://").dialect
        column = IntEnumType(dm.Step)
        assert column.process_bind_param(None, dialect) is None
        assert column.process_result_value(None, dialect) is None

    @pytest.mark.parametrize("value", [100, -1, "FAIL", 1.5])
    def test_refuses_values_outside_the_enum(self, value: object) -> None:
        dialect = sa.create_engine("sqlite://").dialect
        with pytest.raises(ValueError, match="not a valid Ratings"):
            IntEnumType(dm.Ratings).process_bind_param(value, dialect)

    def test_takes_plain_integers(self, session: orm.Session) -> None:
        add_one_of_each(session)
        found = session.scalars(sa.select(dm.Rating.id).where(dm.Rating.rating == 2)).all()
        assert found == [3]

    def test_renders_as_a_literal(self) -> None:
        where = sa.select(dm.Rating.id).where(dm.Rating.rating == dm.Ratings.FAIL)
        rendered = str(where.compile(compile_kwargs={"literal_binds": True}))
        assert rendered.endswith("WHERE rating.rating = 2")

    def test_statements_with_different_enums_do_not_share_a_cached_type(self) -> None:
        keys = {IntEnumType(enum)._static_cache_key for enum in (dm.Step, dm.Ratings)}
        assert len(keys) == 2


class TestUTCDateTime:
    def test_is_read_as_the_same_instant_in_utc(self, session: orm.Session) -> None:
        eastern = NOON.astimezone(dt.timezone(dt.timedelta(hours=-5, minutes=-30)))
        session.add(dm.Session(id=1, step=dm.Step.MASK, created=eastern))
        session.flush()
        session.expire_all()
        found = session.get_one(dm.Session, 1).created
        assert found == NOON
        assert found.tzinfo is dt.UTC

    def test_compares_as_an_instant(self, session: orm.Session) -> None:
        session.add(dm.Session(id=1, step=dm.Step.MASK, created=NOON))
        session.flush()
        eastern = NOON.astimezone(dt.timezone(dt.timedelta(hours=-5)))
        found = session.scalars(sa.select(dm.Session.id).where(dm.Session.created >= eastern))
        assert found.all() == [1]

    def test_is_text_with_microseconds_on_sqlite(self, session: orm.Session) -> None:
        session.add(dm.Session(id=1, step=dm.Step.MASK, created=NOON.replace(microsecond=0)))
        session.flush()
        if session.connection().dialect.name == "sqlite":
            stored = session.execute(sa.text("SELECT created FROM session")).scalar_one()
            assert stored == "2025-07-23 12:00:00.000000"
        else:
            stored = session.execute(
                sa.text("SELECT pg_typeof(created)::text FROM session")
            ).scalar_one()
            assert stored == "timestamp with time zone"

    def test_refuses_naive_datetimes(self) -> None:
        for given in (NOON.replace(tzinfo=None), NOON.date(), "2025-08-01"):
            with pytest.raises(ValueError, match="a datetime with a time zone is needed, not"):
                UTCDateTime().process_bind_param(given, sa.create_engine("sqlite://").dialect)

    def test_converts_a_zone_that_another_program_wrote(self) -> None:
        with sa.create_engine("sqlite://").connect() as connection:
            column = sa.literal_column("'2025-01-01 00:00:00+05:00'", UTCDateTime())
            assert connection.scalar(sa.select(column)) == dt.datetime(
                2024, 12, 31, 19, tzinfo=dt.UTC
            )

    def test_keeps_null(self) -> None:
        dialect = sa.create_engine("sqlite://").dialect
        assert UTCDateTime().process_bind_param(None, dialect) is None
        assert UTCDateTime().process_result_value(None, dialect) is None


class TestOrm:
    @pytest.fixture(autouse=True)
    def _filled(self, session: orm.Session) -> None:
        add_one_of_each(session)
        session.commit()

    def test_ratings_and_clicks_lead_to_their_image_and_session(self, session: orm.Session) -> None:
        for review in (session.get_one(dm.Rating, 3), session.get_one(dm.Coordinate, 4)):
            assert (review.img_id, review.session_id) == (2, 1)
            assert review.image is session.get_one(dm.Image, 2)
            assert review.session is session.get_one(dm.Session, 1)

    @pytest.mark.parametrize(("model", "key"), [(dm.Image, 2), (dm.Session, 1)])
    def test_images_and_sessions_lead_back(
        self, session: orm.Session, model: type[dm.Image], key: int
    ) -> None:
        found = session.get_one(model, key)
        assert found.ratings == [session.get_one(dm.Rating, 3)]
        assert found.coordinates == [session.get_one(dm.Coordinate, 4)]

    def test_image_picture_and_target_lead_to_each_other(self, session: orm.Session) -> None:
        image, target = session.get_one(dm.Image, 2), session.get_one(dm.Target, 5)
        assert image.picture is not None
        assert image.picture.image is image
        assert image.picture.target is target
        assert target.pictures == [image.picture]

    def test_the_release_s_name_reaches_the_session_s_column_in_sql(
        self, session: orm.Session
    ) -> None:
        assert session.execute(sa.text("SELECT session FROM rating")).scalar_one() == 1
        assert dm.Rating.__table__.c.session is dm.Rating.session_id.property.columns[0]

    def test_a_picture_is_read_only_when_asked_for(self, session: orm.Session) -> None:
        image = session.scalars(sa.select(dm.Image)).one()
        assert "img" in sa.inspect(image).unloaded
        assert image.img == b"GIF89a"

    @pytest.mark.parametrize("table", ["image", "session"])
    def test_ratings_and_clicks_are_deleted_with_what_they_refer_to(
        self, session: orm.Session, table: str
    ) -> None:
        session.execute(sa.text(f"DELETE FROM {table}"))
        assert session.scalars(sa.select(dm.Rating)).all() == []
        assert session.scalars(sa.select(dm.Coordinate)).all() == []

    def test_deleting_an_image_through_the_orm_deletes_what_is_derived_from_it(
        self, session: orm.Session
    ) -> None:
        session.delete(session.get_one(dm.Image, 2))
        session.commit()
        models = (dm.Rating, dm.Coordinate, dm.Picture, dm.Review, dm.Tally)
        left = [session.scalars(sa.select(model)).all() for model in models]
        assert left == [[], [], [], [], []]

    def test_a_rating_of_a_missing_image_is_refused(self, session: orm.Session) -> None:
        session.add(
            dm.Rating(
                source_data_issue=False,
                rating=dm.Ratings.PASS,
                img_id=77,
                session_id=1,
                created=NOON,
            )
        )
        with pytest.raises(sa.exc.IntegrityError):
            session.flush()

    @pytest.mark.parametrize(
        ("column", "table"),
        [("step", "session"), ("step", "image"), ("display", "image"), ("rating", "rating")],
    )
    def test_numbers_without_a_meaning_are_refused_in_sql_too(
        self, session: orm.Session, column: str, table: str
    ) -> None:
        with pytest.raises(sa.exc.IntegrityError, match=r"(?i)foreign key"):
            session.execute(sa.text(f"UPDATE {table} SET {column} = 7"))

    def test_the_database_numbers_new_rows(self, session: orm.Session) -> None:
        added = dm.Session(step=dm.Step.MASK, created=NOON)
        if session.connection().dialect.name == "postgresql":
            session.execute(sa.text("SELECT setval('session_id_seq', 1)"))
        session.add(added)
        session.flush()
        assert added.id == 2


def test_every_model_has_a_repr() -> None:
    assert [repr(row) for row in one_of_each()] == [
        "<Session 1 FMAP_COREGISTRATION by unknown>",
        "<Image 2 FMAP_COREGISTRATION sub-10003_bold.nii.gz Z>",
        "<Rating 3 FAIL of image 2>",
        "<Coordinate 4 (1.5, None) on image 2>",
        "<Target 5 FMAP_COREGISTRATION sub-10003_bold.nii.gz>",
        "<Picture of image 2: GIF 7×8, 6 bytes>",
        "<Review of image 2 by unknown: FAIL>",
        "<Tally of image 2: 1 reviews>",
        "<Release 3.0 from /data/qc>",
        "<ReleaseFile image.parquet: 1 rows>",
        "<Finding warning empty-rows in image.parquet: 3>",
        "<Quarantine rating row 7: null-id>",
    ]


def test_repr_works_without_all_attributes() -> None:
    assert repr(dm.Image(id=1, file1="a", slice=3)) == "<Image 1 None a None 3>"
    assert repr(dm.Coordinate(id=1, img_id=2)) == "<Coordinate 1 clean on image 2>"
    assert repr(dm.Session(id=1, step=dm.Step.MASK, user="ann")) == "<Session 1 MASK by ann>"
