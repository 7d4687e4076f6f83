"""What a release has beyond the schema, written as an Alembic revision and run from a checkout."""

import ast
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from forking import Forked

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.cli import main
from dirtmodel.release.layout import QC_FOLDER

ROOT = Path(__file__).parent.parent
NEW = 900_000
"""The first id that is unused in all tables."""

Tables = dict[str, Any]
Run = Callable[..., str]

HOSTILE = [
    'x"); import os; os.system("touch run") #',
    "'); import os #",
    '"""',
    "'''",
    "new\nline\rreturn",
    "back\\slash\\",
    "\\N{BULLET}",
    "{}",
    "{name!r}",
    "%s %(a)s %",
    ":name",
    "🧠\u202e",
    "\x1b[31m",
]


@pytest.fixture(scope="module")
def today() -> Tables:
    """Four small tables in which nothing is unusual."""
    return sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)


@pytest.fixture(scope="module")
def tomorrow(today: Tables) -> Tables:
    """The same tables with an additional step, display, verdict and several columns."""
    tables = appended(today, "image", step=5)
    tables = appended(tables, "session", step=5)
    tables = appended(tables, "rating", img_id=NEW, session=NEW, rating=3)
    tables = appended(tables, "image", id=NEW + 1, display=3, slice=77)
    columns = {
        "confidence": pa.int64(),
        "sure": pa.bool_(),
        "seconds": pa.float64(),
        "remark": pa.string(),
        "opened at": pa.timestamp("us", "UTC"),
        "day": pa.date32(),
        "price": pa.decimal128(10, 2),
        "mask": pa.binary(),
    }
    for table in ("rating", "image"):
        for name, type_ in columns.items():
            tables = with_column(tables, table, name, type_)
    return tables


def appended(tables: Tables, table: str, **values: Any) -> Tables:
    """Append a row: a copy of the first one with other values."""
    row = {**tables[table].slice(0, 1).to_pylist()[0], "id": NEW, **values}
    added = pa.Table.from_pylist([row], tables[table].schema)
    return {**tables, table: pa.concat_tables([tables[table], added])}


def with_column(tables: Tables, table: str, name: str, type_: Any = None) -> Tables:
    nulls = pa.nulls(len(tables[table]), type_ or pa.int64())
    return {**tables, table: tables[table].append_column(name, nulls)}


def write(tables: Tables, folder: Path, name: str = "release") -> Path:
    return sample.write_tables(tables, folder / name, empty_rows=0)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package, its migrations and its configuration."""
    folder = tmp_path / "checkout"
    for name in ("dirtmodel", "migrations"):
        # Including compiled modules, which saves each program a second.
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def run(checkout: Path, new_url: sa.URL) -> Run:
    """Run alembic or dirtmodel in the checkout, on the database of the test."""

    def command(program: str, *arguments: object, fails: bool = False) -> str:
        start = {
            "alembic": "from alembic.config import main; main()",
            "dirtmodel": "from dirtmodel.cli import main; main()",
        }[program]
        url = new_url.render_as_string(hide_password=False)
        forked = Forked(
            start,
            *arguments,
            folder=checkout,
            environment={**os.environ, "DIRTMODEL_DB": url},
            package=checkout,
        )
        code, printed, errors = forked.finished()
        assert (code != 0) is fails, printed + errors
        return printed + errors

    return command


def contents(url: sa.URL) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of our tables, in the columns of the models."""
    with database.engine(url).connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for table in database.tables()
            if table.name not in {"release", "release_file", "finding"}
        }


def columns(url: sa.URL, table: str) -> dict[str, str]:
    """Names and types of the columns of a table."""
    with database.engine(url).connect() as connection:
        found = sa.inspect(connection).get_columns(table)
        return {c["name"]: c["type"].compile(connection.dialect) for c in found}


def names(url: sa.URL, table: str) -> list[str]:
    with database.engine(url).connect() as connection:
        return list(connection.scalars(sa.text(f"SELECT name FROM {table} ORDER BY id")))


# -- the revision runs


def test_the_revision_of_check_runs_up_and_down_and_up_again(
    today: Tables, tomorrow: Tables, new_url: sa.URL, checkout: Path, run: Run, tmp_path: Path
) -> None:
    dm.load(write(today, tmp_path, "today"), new_url)
    before, columns_before = contents(new_url), columns(new_url, "image")
    file = tmp_path / "0004_release_4.py"
    checked = invoke("check", write(tomorrow, tmp_path, "tomorrow"), "--migration", file)
    assert checked.exit_code == 0
    shutil.copy(file, checkout / "migrations" / "versions")

    run("alembic", "upgrade", "head")

    assert list(columns(new_url, "rating"))[-8:] == list(columns(new_url, "image"))[-8:]
    assert list(columns(new_url, "image"))[-8:] == [
        *("confidence", "sure", "seconds", "remark", "opened at", "day", "price", "mask"),
    ]
    assert names(new_url, "step")[-1] == "STEP_5"
    assert names(new_url, "display")[-1] == "DISPLAY_3"
    assert names(new_url, "verdict")[-1] == "RATING_3"
    assert {t: rows for t, rows in contents(new_url).items() if t not in LOOKUPS} == {
        t: rows for t, rows in before.items() if t not in LOOKUPS
    }
    run("alembic", "downgrade", "-1")
    assert contents(new_url) == before
    assert columns(new_url, "image") == columns_before
    run("alembic", "upgrade", "head")
    run("dirtmodel", "refresh")
    assert contents(new_url)["review"] == before["review"]
    assert contents(new_url)["tally"] == before["tally"]


LOOKUPS = {"step", "display", "verdict"}


def test_the_release_can_be_loaded_into_the_migrated_schema(
    today: Tables, tomorrow: Tables, new_url: sa.URL, checkout: Path, run: Run, tmp_path: Path
) -> None:
    release = write(tomorrow, tmp_path, "tomorrow")
    invoke("check", release, "--migration", checkout / "migrations/versions/0004_release_4.py")

    run("dirtmodel", "load", release, "--extend")

    added = list(tomorrow["image"].column_names[-8:])
    assert set(added) <= set(columns(new_url, "image"))
    assert run("dirtmodel", "diff", release, database_of(new_url), "--format", "json")
    loaded = contents(new_url)
    run("dirtmodel", "load", release, "--extend", "--replace")
    assert contents(new_url) == loaded
    run("dirtmodel", "load", write(today, tmp_path, "today"), "--replace")
    assert set(added) <= set(columns(new_url, "image")), "a migration added them, not a load"
    if new_url.get_backend_name() == "sqlite":
        assert list(columns(new_url, "image"))[-1] == "img"


def database_of(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def test_the_revision_also_upgrades_a_database_that_a_load_extended(
    tomorrow: Tables, new_url: sa.URL, checkout: Path, run: Run, tmp_path: Path
) -> None:
    release = write(tomorrow, tmp_path, "tomorrow")
    dm.load(release, new_url, extend=True)
    before = contents(new_url)
    columns_before = columns(new_url, "image")
    invoke("check", release, "--migration", checkout / "migrations/versions/0004_release_4.py")

    run("dirtmodel", "upgrade")

    assert contents(new_url) == before
    assert columns(new_url, "image") == columns_before
    run("dirtmodel", "load", release, "--extend", "--replace")
    assert contents(new_url) == before


def test_a_downgrade_refuses_to_drop_numbers_that_are_in_use(
    tomorrow: Tables, new_url: sa.URL, checkout: Path, run: Run, tmp_path: Path
) -> None:
    release = write(tomorrow, tmp_path, "tomorrow")
    invoke("check", release, "--migration", checkout / "migrations/versions/0004_release_4.py")
    run("dirtmodel", "load", release, "--extend")
    before, columns_before = contents(new_url), columns(new_url, "image")

    printed = run("alembic", "downgrade", "-1", fails=True)

    assert "foreign key constraint" in printed.lower()
    assert contents(new_url) == before
    assert columns(new_url, "image") == columns_before


def test_a_dry_run_prints_the_statements(
    today: Tables, tomorrow: Tables, new_url: sa.URL, checkout: Path, run: Run, tmp_path: Path
) -> None:
    dm.load(write(today, tmp_path, "today"), new_url)
    release = write(tomorrow, tmp_path, "tomorrow")
    invoke("check", release, "--migration", checkout / "migrations/versions/0004_release_4.py")

    printed = run("dirtmodel", "upgrade", "--dry-run")

    assert "ALTER TABLE rating ADD COLUMN confidence BIGINT;" in printed
    assert re.search(
        r"INSERT INTO step \(id, name, judged_by\) VALUES \(5, 'STEP_5', 'verdict'\) "
        r"ON CONFLICT \(id\) DO NOTHING;",
        printed,
    )


def test_diff_writes_what_the_new_release_has_and_the_old_one_lacks(
    today: Tables, tomorrow: Tables, new_url: sa.URL, checkout: Path, run: Run, tmp_path: Path
) -> None:
    dm.load(write(with_column(today, "rating", "confidence"), tmp_path, "today"), new_url)
    file = checkout / "migrations" / "versions" / "0004_release_4.py"

    compared = invoke(
        "diff", database_of(new_url), write(tomorrow, tmp_path, "tomorrow"), "--migration", file
    )

    assert compared.exit_code == 1
    assert compared.stdout == ""
    assert compared.stderr == (
        f"Wrote {file}; move it to migrations/versions/ and run: dirtmodel upgrade\n"
    )
    added = literal(file, "COLUMNS")
    assert ("rating", "confidence") not in added
    assert ("image", "confidence") in added
    run("dirtmodel", "upgrade")
    assert "confidence" in columns(new_url, "image")


# -- without drift, and with errors


def test_check_writes_no_file_without_drift(today: Tables, tmp_path: Path) -> None:
    file = tmp_path / "0004_release_4.py"

    checked = invoke("check", write(today, tmp_path), "--migration", file)

    assert checked.exit_code == 0
    assert checked.stderr == f"The schema needs no change; {file} was not written.\n"
    assert not file.exists()


def test_diff_writes_no_file_without_drift(
    tomorrow: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    release = write(tomorrow, tmp_path)
    dm.load(release, new_url, extend=True)
    file = tmp_path / "0004_release_4.py"

    compared = invoke("diff", database_of(new_url), release, "--migration", file)

    assert (compared.exit_code, compared.stdout) == (0, "")
    assert compared.stderr == f"The schema needs no change; {file} was not written.\n"
    assert not file.exists()


def test_check_writes_no_file_for_a_release_with_errors(tomorrow: Tables, tmp_path: Path) -> None:
    release = write(appended(tomorrow, "rating", id=NEW + 9, img_id=1, rating=100), tmp_path)
    file = tmp_path / "0004_release_4.py"

    checked = invoke("check", release, "--migration", file)

    assert checked.exit_code == 1
    assert checked.stdout.startswith("error    unknown-enum ")
    assert checked.stderr == f"The release has errors; {file} was not written.\n"
    assert not file.exists()


def test_check_writes_no_file_for_a_release_that_cannot_be_read(
    tomorrow: Tables, tmp_path: Path
) -> None:
    release = write(tomorrow, tmp_path)
    (release / QC_FOLDER / "rating.parquet").write_bytes(b"")
    file = tmp_path / "0004_release_4.py"

    checked = invoke("check", release, "--migration", file)

    assert checked.exit_code == 1
    assert checked.stderr == f"The release has errors; {file} was not written.\n"
    assert not file.exists()


# -- names are data


def literal(file: Path, name: str) -> list[tuple[str, ...]]:
    """The table and the name of each entry in a list of the revision; these must be literals."""
    tree = ast.parse(file.read_text("utf-8"))
    (found,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    assert isinstance(found, ast.List)
    entries = []
    for entry in found.elts:
        assert isinstance(entry, ast.Tuple)
        entries.append(tuple(ast.literal_eval(part) for part in entry.elts[:2]))
    return entries


def skeleton(file: Path) -> str:
    """The revision without its docstring and the lists of what is added."""
    tree = ast.parse(file.read_text("utf-8"))
    assert isinstance(tree.body[0], ast.Expr)
    assert isinstance(ast.literal_eval(tree.body[0].value), str)
    return "\n".join(
        ast.unparse(node)
        for node in tree.body[1:]
        if not (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"COLUMNS", "NUMBERS"}
        )
    )


def test_names_are_only_quoted_literals(today: Tables, tmp_path: Path) -> None:
    plain, odd = tmp_path / "0004_plain.py", tmp_path / "0004_odd.py"
    invoke("check", write(with_column(today, "image", "a"), tmp_path, "a"), "--migration", plain)
    tables = today
    for name in HOSTILE:
        tables = with_column(tables, "rating", name)
    release = write(tables, tmp_path, '""" + __import__("os").getcwd() + "\\')

    checked = invoke("check", release, "--migration", odd)

    assert checked.exit_code == 0
    assert literal(odd, "COLUMNS") == [("rating", name) for name in HOSTILE]
    assert skeleton(odd) == skeleton(plain)
    types = re.findall(r", (sa\.\w+\(.*\))\),$", odd.read_text("utf-8"), re.MULTILINE)
    assert types == ["sa.BigInteger()"] * len(HOSTILE)
    assert odd.read_text("utf-8").startswith(
        '"""Add what ? ? __import__?os?.getcwd? ? ? has beyond DIRT\'s schema\n'
    )


def test_a_label_ends_no_docstring(today: Tables, tmp_path: Path) -> None:
    db = tmp_path / "new.db"
    dm.load(
        write(with_column(today, "image", "a"), tmp_path, "new"),
        db,
        label='4.0"""; import os; """{}%s\\',
    )
    file = tmp_path / "0004_odd.py"

    compared = invoke("diff", write(today, tmp_path, "old"), db, "--migration", file)

    assert compared.exit_code == 1
    documentation = ast.get_docstring(ast.parse(file.read_text("utf-8")))
    assert documentation is not None
    assert documentation.partition("\n")[0] == (
        "Add what 4.0? import os? ?s? has beyond DIRT's schema"
    )


def test_hostile_names_are_added_and_dropped_as_they_are(
    today: Tables, new_url: sa.URL, checkout: Path, run: Run, tmp_path: Path
) -> None:
    dm.load(write(today, tmp_path, "today"), new_url)
    tables = today
    for name in HOSTILE:
        tables = with_column(tables, "rating", name)
    before = list(columns(new_url, "rating"))
    file = checkout / "migrations" / "versions" / "0004_odd.py"
    invoke("check", write(tables, tmp_path, "odd"), "--migration", file)

    run("dirtmodel", "upgrade")

    assert list(columns(new_url, "rating")) == [*before, *HOSTILE]
    run("alembic", "downgrade", "-1")
    assert list(columns(new_url, "rating")) == before
    assert not (checkout / "run").exists()


# -- the file


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "release_4.py",
            "is not a revision id of four digits, an underscore, a description and .py",
        ),
        ("0004.py", "is not a revision id of four digits, an underscore, a description and .py"),
        (
            "0004_release_4",
            "is not a revision id of four digits, an underscore, a description and .py",
        ),
        (
            "4_release.py",
            "is not a revision id of four digits, an underscore, a description and .py",
        ),
        (
            "0003_release.py",
            "starts with the revision id 0003, which is not after the last one, 0003",
        ),
        (
            "0000_release.py",
            "starts with the revision id 0000, which is not after the last one, 0003",
        ),
    ],
)
@pytest.mark.parametrize("command", ["check", "diff"])
def test_a_file_name_without_a_new_revision_id_is_refused(
    command: str, name: str, reason: str, tmp_path: Path
) -> None:
    places = ["nowhere"] if command == "check" else ["nowhere", "nowhere"]

    refused = invoke(command, *places, "--migration", tmp_path / name)

    assert refused.exit_code == 2
    assert refused.stderr == (
        f"Error: {name} {reason}; call the file 0004_new_release.py, for example\n"
    )


def test_a_file_that_exists_is_not_overwritten(tomorrow: Tables, tmp_path: Path) -> None:
    file = tmp_path / "0004_release_4.py"
    file.write_text("mine")

    refused = invoke("check", write(tomorrow, tmp_path), "--migration", file)

    assert refused.exit_code == 2
    assert refused.stderr == (
        f"Error: {file} exists already; choose another path, or add --replace "
        "(in Python replace=True)\n"
    )
    assert file.read_text() == "mine"


def test_a_folder_that_is_missing_is_named(tomorrow: Tables, tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "0004_release_4.py"

    refused = invoke("check", write(tomorrow, tmp_path), "--migration", file)

    assert refused.exit_code == 2
    assert str(tmp_path / "nowhere") in refused.stderr
