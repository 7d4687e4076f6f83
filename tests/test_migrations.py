"""The schema's history: linear, reversible, equal to the models, and careful with pictures."""

import ast
import io
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.script import ScriptDirectory
from PIL import Image as PillowImage

import dirtmodel as dm
from dirtmodel import database
from dirtmodel.models import Base, views

REVISIONS = database.known_revisions()
FOLDER = database.migrations_folder()
FILES = sorted((FOLDER / "versions").glob("*.py"))
VIEWS = {view.name for view in views.VIEWS}

Connect = Callable[[], AbstractContextManager[sa.Connection]]


def png(n_bytes: int = 200) -> bytes:
    """Return a picture of at least this many incompressible bytes."""
    width = n_bytes // 30 + 1
    pixels = random.Random(0).randbytes(width * 10 * 3)  # noqa: S311 - noise, not a secret
    with io.BytesIO() as file:
        PillowImage.frombytes("RGB", (width, 10), pixels).save(file, "PNG")
        return file.getvalue()


@pytest.fixture
def connect(new_url: sa.URL) -> Connect:
    """Return a function that begins a transaction on an empty database."""
    engine = database.engine(new_url)
    schema = new_url.query.get("options", "").rpartition("=")[2]
    if schema:
        with engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema(schema))

    @contextmanager
    def begin() -> Iterator[sa.Connection]:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                yield connection

    return begin


@pytest.fixture
def at_head(connect: Connect) -> Connect:
    with connect() as connection:
        database.migrate(connection)
    return connect


class TestHistory:
    def test_has_one_head_and_one_base_and_no_branches(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        script = ScriptDirectory.from_config(config)
        walked = list(script.walk_revisions())
        assert script.get_heads() == [REVISIONS[-1]]
        assert script.get_bases() == [REVISIONS[0]]
        assert [r.is_branch_point or r.is_merge_point for r in walked] == [False] * len(walked)

    def test_file_names_begin_with_the_revisions_in_order(self) -> None:
        declared = []
        for file in FILES:
            values = {
                node.targets[0].id: ast.literal_eval(node.value)
                for node in ast.parse(file.read_text()).body
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id in {"revision", "down_revision"}
            }
            declared.append((values["revision"], values["down_revision"]))
            assert file.name.startswith(f"{values['revision']}_")
        expected = list(zip(REVISIONS, [None, *REVISIONS[:-1]], strict=True))
        assert declared == expected

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
    def test_a_migration_does_not_import_dirtmodel(self, file: Path) -> None:
        tree = ast.parse(file.read_text())
        modules = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {str(module).partition(".")[0] for module in modules} == {"alembic", "sqlalchemy"}

    def test_the_first_two_revisions_mirror_dirt_s_own(self, connect: Connect) -> None:
        columns = {}
        for revision in ("0001", "0002"):
            with connect() as connection:
                database.migrate(connection, revision)
                inspector = sa.inspect(connection)
                columns[revision] = {
                    table: {column["name"] for column in inspector.get_columns(table)}
                    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"})
                }
        lookups = {"display", "step", "verdict"}
        assert columns["0001"].keys() == columns["0002"].keys()
        assert columns["0001"].keys() - lookups == {"coordinate", "image", "rating", "session"}
        assert {
            table: added
            for table, found in columns["0001"].items()
            if (added := columns["0002"][table] - found)
        } == {"coordinate": {"notes"}, "rating": {"notes"}}

    def test_is_three_revisions_long(self) -> None:
        assert REVISIONS == ("0001", "0002", "0003")


class TestUpAndDown:
    def test_the_schema_can_be_created_dropped_and_created_again(self, connect: Connect) -> None:
        for _ in range(2):
            with connect() as connection:
                database.migrate(connection)
                assert database.current_revision(connection) == REVISIONS[-1]
            with connect() as connection:
                database.migrate(connection, "base")
                assert database.current_revision(connection) is None
                left = sa.inspect(connection)
                assert left.get_table_names() == ["alembic_version"]
                assert left.get_view_names() == []

    def test_each_step_down_undoes_the_step_up(self, connect: Connect) -> None:
        for before, revision in itertools.pairwise(REVISIONS):
            with connect() as connection:
                database.migrate(connection, before)
                expected = described(connection)
            with connect() as connection:
                database.migrate(connection, revision)
            with connect() as connection:
                database.migrate(connection, before)
                assert described(connection) == expected

    def test_rows_survive_the_way_down_and_up(self, connect: Connect) -> None:
        with connect() as connection:
            database.migrate(connection)
            insert_rows(connection, notes="seen twice")
            everything = mirrored_rows(connection)
        for revision in reversed(REVISIONS[1:-1]):
            with connect() as connection:
                database.migrate(connection, revision)
                assert mirrored_rows(connection) == everything
        with connect() as connection:
            database.migrate(connection)
            assert mirrored_rows(connection) == everything

    def test_a_downgrade_below_0002_loses_only_the_notes(self, connect: Connect) -> None:
        with connect() as connection:
            database.migrate(connection)
            insert_rows(connection, notes="gone")
            everything = mirrored_rows(connection)
        with connect() as connection:
            database.migrate(connection, "0001")
        with connect() as connection:
            database.migrate(connection)
            found = mirrored_rows(connection)
        for table in ("rating", "coordinate"):
            assert found[table][0].pop("notes") is None
            assert everything[table][0].pop("notes") == "gone"
        assert found == everything

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_rows_of_any_revision_reach_the_head(self, connect: Connect, revision: str) -> None:
        with connect() as connection:
            database.migrate(connection, revision)
            insert_rows(connection, notes=None)
            before = mirrored_rows(connection)
        with connect() as connection:
            database.migrate(connection)
            database.check_foreign_keys(connection)
            after = mirrored_rows(connection)
        assert [row | {"notes": None} for row in before["rating"]] == after["rating"]
        assert (before["image"], before["session"]) == (after["image"], after["session"])

    def test_an_upgrade_computes_the_derived_rows(self, release: Path, new_url: sa.URL) -> None:
        tables = ("target", "picture", "review", "tally", "image_labels", "review_labels")
        dm.load(release, new_url)
        expected = contents(new_url, tables)
        assert all(expected.values())
        dm.upgrade(new_url, "0002")
        dm.upgrade(new_url)
        assert contents(new_url, tables) == expected

    @pytest.mark.parametrize(
        ("img", "reason"),
        [
            (b"%PDF-1.7", "neither PNG nor GIF"),
            (png()[:-20], f"truncated (nothing after {len(png()) - 20} bytes)"),
        ],
    )
    def test_a_damaged_picture_stops_the_upgrade_by_name_and_nothing_is_changed(
        self, connect: Connect, new_url: sa.URL, img: bytes, reason: str
    ) -> None:
        with connect() as connection:
            database.migrate(connection, "0002")
            insert_rows(connection, notes=None, img=img)
            before = described(connection), mirrored_rows(connection)
        with pytest.raises(dm.DatabaseError) as caught:
            dm.upgrade(new_url)
        assert str(caught.value) == (
            f"image 1: the stored picture is {reason}; nothing was changed; replace the "
            "picture or delete the image, and try again"
        )
        with connect() as connection:
            assert (described(connection), mirrored_rows(connection)) == before
            assert database.current_revision(connection) == "0002"


class TestEqualsTheModels:
    def test_alembic_finds_no_difference(self, at_head: Connect) -> None:
        with at_head() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, Base.metadata) == []

    def test_tables_columns_keys_and_checks(self, at_head: Connect, new_url: sa.URL) -> None:
        with at_head() as connection:
            by_migrations = described(connection)
        by_models = models_alone(new_url)
        assert by_migrations.pop("alembic_version")
        assert by_migrations.keys() & VIEWS == VIEWS
        for view in VIEWS:
            by_migrations.pop(view)
        assert by_migrations == by_models

    def test_every_column_of_an_enum_refers_to_its_lookup_table(self, at_head: Connect) -> None:
        expected = {
            ("session", "step", "step"),
            ("image", "step", "step"),
            ("image", "display", "display"),
            ("rating", "rating", "verdict"),
            ("target", "step", "step"),
            ("review", "step", "step"),
            ("review", "verdict", "verdict"),
        }
        with at_head() as connection:
            inspector = sa.inspect(connection)
            found = {
                (table, key["constrained_columns"][0], key["referred_table"])
                for table in inspector.get_table_names()
                for key in inspector.get_foreign_keys(table)
                if key["referred_table"] in {"step", "display", "verdict"}
            }
        assert found == expected

    def test_the_picture_is_the_last_physical_column(self, at_head: Connect) -> None:
        with at_head() as connection:
            assert sa.inspect(connection).get_columns("image")[-1]["name"] == "img"
            if connection.dialect.name == "postgresql":
                last = connection.scalar(
                    sa.text(
                        "SELECT attname FROM pg_attribute WHERE attrelid = 'image'::regclass "
                        "ORDER BY attnum DESC LIMIT 1"
                    )
                )
                assert last == "img"

    def test_postgres_stores_pictures_beside_the_row_and_uncompressed(
        self, postgres_server: str
    ) -> None:
        with database.engine(database.parse_url(postgres_server)).connect() as connection:
            connection.execute(sa.text("CREATE SCHEMA storage_test"))
            connection.execute(sa.text("SET LOCAL search_path TO storage_test"))
            database.migrate(connection)
            storage = connection.scalar(
                sa.text(
                    "SELECT attstorage::text FROM pg_attribute "
                    "WHERE attrelid = 'image'::regclass AND attname = 'img'"
                )
            )
        assert storage == "e"

    @pytest.mark.parametrize("new_url", ["postgres"], indirect=True)
    def test_postgres_keeps_comments(self, at_head: Connect) -> None:
        with at_head() as connection:
            inspector = sa.inspect(connection)
            found = {
                table.name: (
                    inspector.get_table_comment(table.name)["text"],
                    {c["name"]: c["comment"] for c in inspector.get_columns(table.name)},
                )
                for table in database.tables()
            }
        assert found == {
            table.name: (table.comment, {column.name: column.comment for column in table.columns})
            for table in database.tables()
        }


class TestAutogenerate:
    def test_our_types_are_written_as_what_they_are_in_the_database(self, at_head: Connect) -> None:
        metadata = sa.MetaData()
        sa.Table(
            "session",
            metadata,
            sa.Column("again", Base.metadata.tables["session"].c.step.type),
            sa.Column("moment", Base.metadata.tables["session"].c.created.type),
        )
        with at_head() as connection:
            context = MigrationContext.configure(
                connection,
                opts={"render_item": environment_function("render_item"), "target_metadata": None},
            )
            script = produce_migrations(context, metadata)
            added = [
                op
                for table in script.upgrade_ops.ops
                if isinstance(table, ops.ModifyTableOps)
                for op in table.ops
                if isinstance(op, ops.AddColumnOp)
            ]
            rendered = render_python_code(
                ops.UpgradeOps(ops=added),
                render_item=environment_function("render_item"),
                migration_context=context,
            )
        assert "sa.Column('again', sa.Integer(), nullable=True)" in rendered
        assert "sa.Column('moment', sa.DateTime(timezone=True), nullable=True)" in rendered

    def test_tables_of_other_programs_are_left_alone(self) -> None:
        include_name = environment_function("include_name")
        assert include_name("image", "table", {})
        assert not include_name("django_session", "table", {})
        assert include_name("anything", "column", {})

    def test_types_of_other_programs_are_written_by_alembic(self) -> None:
        item = Base.metadata.tables["session"].c.step.type
        render_item = environment_function("render_item")
        assert render_item("type", item, None) == "sa.Integer()"
        assert render_item("type", sa.Text(), None) is False
        assert render_item("server_default", item, None) is False


class TestImageIsNotRewritten:
    @pytest.mark.parametrize("revision", ["0001", "0002"])
    def test_on_sqlite_its_pages_are_unchanged(self, tmp_path: Path, revision: str) -> None:
        url = database.parse_url(tmp_path / "dirt.db")
        with database.engine(url).begin() as connection:
            database.migrate(connection, revision)
            insert_rows(connection, notes=None, img=png(200_000))
        before = image_pages(tmp_path / "dirt.db")
        dm.upgrade(url)
        after = image_pages(tmp_path / "dirt.db")
        assert len(before) > 40
        assert after == before

    def test_on_postgres_its_files_are_unchanged(self, postgres_server: str) -> None:
        files = sa.text(
            "SELECT c.relfilenode, t.relfilenode, (SELECT array_agg(i.ctid::text) FROM image AS i) "
            "FROM pg_class AS c JOIN pg_class AS t ON t.oid = c.reltoastrelid "
            "WHERE c.oid = 'image'::regclass"
        )
        with database.engine(database.parse_url(postgres_server)).connect() as connection:
            connection.execute(sa.text("CREATE SCHEMA rewrite_test"))
            connection.execute(sa.text("SET LOCAL search_path TO rewrite_test"))
            database.migrate(connection, "0002")
            insert_rows(connection, notes=None, img=png(200_000))
            before = connection.execute(files).one()
            database.migrate(connection)
            after = connection.execute(files).one()
        assert after == before


def described(connection: sa.Connection) -> dict[str, Any]:
    """Return the inspector's description of each table in a comparable form."""
    inspector = sa.inspect(connection)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        found[table] = {
            "columns": {
                c["name"]: (str(c["type"]), c["nullable"], sequence_free(c["default"]))
                for c in inspector.get_columns(table)
            },
            "order": [c["name"] for c in inspector.get_columns(table)],
            "primary key": named(inspector.get_pk_constraint(table), "constrained_columns"),
            "uniques": sorted(
                named(u, "column_names") for u in inspector.get_unique_constraints(table)
            ),
            "foreign keys": sorted(
                (
                    *named(k, "constrained_columns"),
                    k["referred_table"],
                    str(k["options"].get("ondelete")),
                )
                for k in inspector.get_foreign_keys(table)
            ),
            "checks": sorted(
                (str(c["name"]), c["sqltext"]) for c in inspector.get_check_constraints(table)
            ),
            "indexes": sorted(
                (*named(i, "column_names"), bool(i["unique"]))
                for i in inspector.get_indexes(table)
                if not i.get("duplicates_constraint")
            ),
        }
    for view in inspector.get_view_names():
        found[view] = inspector.get_view_definition(view)
    return found


def named(item: Any, columns: str) -> tuple[str, tuple[str, ...]]:
    return str(item["name"]), tuple(item[columns])


def sequence_free(default: str | None) -> str | None:
    """Replace the default of a sequence, in which Postgres may or may not name the schema."""
    return "a sequence" if default and default.startswith("nextval(") else default


def models_alone(url: sa.URL) -> dict[str, Any]:
    """Return the same for the schema that the models create without migrations."""
    if database.is_sqlite(url):
        engine = database.engine(url.set(database=f"{url.database}.models"))
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
            return described(connection)
    with database.engine(url).connect() as connection:
        connection.execute(sa.text("CREATE SCHEMA of_models"))
        connection.execute(sa.text("SET LOCAL search_path TO of_models"))
        Base.metadata.create_all(connection)
        return described(connection)


def insert_rows(connection: sa.Connection, *, notes: str | None, img: bytes = png()) -> None:
    """Insert one row into each mirrored table, at any revision."""
    moment = "2025-07-23 12:00:00.000000+00:00"
    if connection.dialect.name == "sqlite":
        moment = moment.removesuffix("+00:00")
    columns = {column["name"] for column in sa.inspect(connection).get_columns("rating")}
    note = {"notes": notes} if "notes" in columns else {}
    review = {"id": 1, "source_data_issue": False, "img_id": 1, "session": 1, "created": moment}
    for table, row in (
        ("session", {"id": 1, "step": 0, "user": "ann", "created": moment}),
        (
            "image",
            {"id": 1, "file1": "a", "display": 0, "step": 0, "created": moment, "img": img},
        ),
        ("rating", review | {"rating": 2} | note),
        ("coordinate", review | {"x": 1.5} | note),
    ):
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join(f":{name}" for name in row)
        connection.execute(sa.text(f'INSERT INTO "{table}" ({names}) VALUES ({places})'), row)


def mirrored_rows(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
    return {
        table: [
            dict(row)
            for row in connection.execute(
                sa.text(f'SELECT * FROM "{table}" ORDER BY id')
            ).mappings()
        ]
        for table in ("session", "image", "rating", "coordinate")
    }


def contents(url: sa.URL, tables: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
    with database.connect(url) as connection:
        return {
            table: sorted(
                map(tuple, connection.execute(sa.text(f"SELECT * FROM {table}"))), key=repr
            )
            for table in tables
        }


def image_pages(path: Path) -> dict[int, bytes]:
    """Return the pages of the table image on SQLite by number, including overflow pages."""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'image'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    raw = path.read_bytes()

    def page(number: int) -> bytes:
        return raw[(number - 1) * size : number * size]

    pages, overflow = {root: page(root)}, chain_start(page(root), size)
    while overflow:
        pages[overflow] = page(overflow)
        overflow = int.from_bytes(page(overflow)[:4])
    return pages


def chain_start(leaf: bytes, size: int) -> int:
    """Return the overflow page of a leaf's only cell: the last four bytes of the cell."""
    assert leaf[0] == 0x0D, "one row fits on a leaf that is the root"
    assert int.from_bytes(leaf[3:5]) == 1
    return int.from_bytes(leaf[size - 4 : size])


def environment_function(name: str) -> Any:
    """Return a function of env.py, which alembic runs and which cannot be imported."""
    source = (FOLDER / "env.py").read_text()
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]
    namespace: dict[str, Any] = {}
    exec(compile(tree, str(FOLDER / "env.py"), "exec"), namespace)  # noqa: S102 - our own file, less its call of main()
    return namespace[name]


@pytest.mark.parametrize("url", ["dirt.db", "postgresql://nobody@nowhere/qc"])
def test_alembic_itself_writes_the_sql_of_either_engine(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRTMODEL_DB", url)
    monkeypatch.chdir(tmp_path)
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(FOLDER))

    command.upgrade(config, "head", sql=True)

    assert "CREATE TABLE session" in written.getvalue()
    assert "INSERT INTO step (id, name, judged_by) VALUES (0, 'MASK', 'clicks')" in (
        written.getvalue()
    )
    assert ("INSTEAD OF INSERT" in written.getvalue()) != url.startswith("postgresql")
    assert list(tmp_path.iterdir()) == []
