"""Kill, interrupt and starve commands that write, at random moments."""

import contextlib
import difflib
import os
import random
import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import mutants
import sqlalchemy as sa
from torture_places import Bench, discard, new_place
from torture_running import (
    FAILED,
    INTERRUPTED,
    Ended,
    Failure,
    Limits,
    address_space,
    check_end,
    run,
)
from torture_states import State, state

FAULTS: Final = ("kill", "signal", "file-size", "disk", "memory", "handles", "backend", "restart")
OF_SERVERS: Final = ("backend", "restart")


@dataclass(frozen=True)
class Task:
    """A command that writes: its initial state, its arguments and its output.

    Parameters
    ----------
    start
        The initial state of the database: `none`, `loaded`, `old` (an earlier revision) or `stale`.
    arguments
        `{db}` is the database, `{release}` a second release.
    whole
        True if the command must write all of its files or none; otherwise each file must be
        complete or absent.
    again
        Arguments to add when the command is repeated.
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


class Reference(NamedTuple):
    """The result of a task without a fault."""

    code: int
    before: State
    after: State
    seconds: float


def difference(found: State, reference: Reference) -> str:
    """Return the differences of a database from the states before and after a task, as text."""
    before, after, now = (
        (some.database or "nothing").splitlines()
        for some in (reference.before, reference.after, found)
    )
    compared = ((before, now, "before", "found"), (now, after, "found", "after"))
    return "\n".join(
        line for two in compared for line in difflib.unified_diff(*two, lineterm="", n=0)
    )


def is_whole(task: Task, found: State, reference: Reference, *, leftovers: bool) -> None:
    """Raise Failure unless a state is the one before a task or the one after it."""
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


def faulty(bench: Bench, rng: random.Random, kind: str, folder: Path) -> None:
    """Run a random command with a fault; raise Failure if it does not behave as documented."""
    engine = "postgres" if kind in OF_SERVERS else rng.choice(("sqlite", "postgres"))
    name = rng.choice(tuple(TASKS))
    try:
        disturb(bench, rng, folder, kind, name, engine)
    except Failure as error:
        raise Failure(f"{kind}, {name} on {engine}: {error}") from error


def disturb(
    bench: Bench, rng: random.Random, folder: Path, kind: str, name: str, engine: str
) -> None:
    """Run a command with a fault, and then again without a fault."""
    task = TASKS[name]
    reference = reference_of(bench, name, engine)
    log = folder
    folder = bench.small_disk / log.name if kind == "disk" and bench.small_disk else log / "work"
    folder.mkdir()
    url = new_place(bench, task.start, engine, folder)
    try:
        moment = rng.uniform(0.0, reference.seconds * 1.1)
        limits, fault = fault_of(bench, rng, kind, moment, folder, url)
        ended = run(command(bench, task, url), folder, log, limits=limits, fault=fault)
        if kind == "disk":
            (folder / "filler").unlink()
        if kind == "restart":
            bench.server.start()
        check_faulty_end(kind, ended, reference)
        if ended.code == FAILED and name in {"upgrade", "refresh"} and engine == "sqlite":
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
    """Return the limits of a process, and a function that disturbs it."""
    limits: Limits = {}
    fault = None
    largest = rng.choice((10_000, 100_000, 1_000_000))
    match kind:
        case "kill":
            fault = sending(moment, [signal.SIGKILL])
        case "signal":
            number = rng.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
            # A terminal that is closed may send this signal twice.
            twice = number == signal.SIGHUP and mutants.chance(rng, 0.3)
            fault = sending(moment, [number, number] if twice else [number])
        case "backend":
            fault = losing(bench, moment, url)
        case "restart":
            fault = restarting(bench, rng, moment)
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
    """Return a function that sends signals to a process after `moment` seconds."""

    def send(pid: int) -> None:
        time.sleep(moment)
        for number in numbers:
            os.kill(pid, number)

    return send


def losing(bench: Bench, moment: float, url: sa.URL) -> Callable[[int], None]:
    """Return a function that ends all connections to a database after `moment` seconds."""
    who = f"datname = '{url.database}'"

    def lose(_pid: int) -> None:
        time.sleep(moment)
        bench.server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {who}")

    return lose


def restarting(bench: Bench, rng: random.Random, moment: float) -> Callable[[int], None]:
    """Return a function that stops the server after `moment` seconds, and may restart it."""
    mode = rng.choice(("fast", "immediate"))
    at_once = mutants.chance(rng, 0.5)

    def restart(_pid: int) -> None:
        time.sleep(moment)
        bench.server.stop(mode)
        if at_once:
            bench.server.start()

    return restart


def fill(filler: Path, leave: int) -> None:
    """Fill a disk except for some bytes."""
    with filler.open("wb") as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(0, shutil.disk_usage(filler.parent).free - leave))


def check_faulty_end(kind: str, ended: Ended, reference: Reference) -> None:
    """Raise Failure unless a command ended as the fault permits."""
    codes = {reference.code}
    if kind == "kill":
        codes.add(-signal.SIGKILL)
    elif kind == "signal":
        # A signal before the command begins or after it ends has its default effect.
        codes |= {INTERRUPTED, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP}
    else:
        codes.add(FAILED)
    check_end(ended, frozenset(codes))
    lines = ended.errors.splitlines()
    errors = [number for number, line in enumerate(lines, 1) if line.startswith("Error: ")]
    if ended.code == FAILED and errors != [len(lines)]:
        raise Failure(f"it does not end with one line of error:\n{ended.errors[-1000:]}")


def check_copy(folder: Path, log: Path, ended: Ended) -> None:
    """Raise Failure if a copy of the database is malformed and no message mentions that."""
    copy = Path(shutil.copy(folder / "dirt.db", log / "copy.db"))
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


_references: dict[tuple[str, str], Reference] = {}


def reference_of(bench: Bench, name: str, engine: str) -> Reference:
    """Return the result of a task without a fault; each worker runs it once."""
    if (name, engine) not in _references:
        task = TASKS[name]
        folder = bench.folder / f"reference-{name}-{engine}"
        work = folder / "work"
        work.mkdir(parents=True)
        url = new_place(bench, task.start, engine, work)
        before = state(bench, work, url)
        ended = run(command(bench, task, url), work, folder)
        check_end(ended, frozenset({0, 1}))
        after = state(bench, work, url)
        if before == after:
            raise Failure(f"{name} does nothing")
        discard(bench, url)
        _references[name, engine] = Reference(ended.code, before, after, ended.seconds)
    return _references[name, engine]
