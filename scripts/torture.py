"""Damage releases, and kill, interrupt and starve every command that writes, at random.

Each trial is determined by the seed and its number, so that a failure can be repeated. A trial
fails if a command ends with an undocumented exit code or a traceback, leaves anything but the
complete old or the complete new state, leaves temporary files behind after the next run, or loads
rows that are not those of the release.
"""

import argparse
import contextlib
import gc
import itertools
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import matplotlib.figure  # noqa: F401 - what commands import is imported before they are forked off
import pyarrow.compute  # noqa: F401 - as above
from mutants import chance
from torture_faults import FAULTS, faulty
from torture_mutants import mutant
from torture_places import Bench, mounted_disk, prepare
from torture_running import Failure, address_space, apart, limit, take_over_output
from torture_servers import servers_at

import dirtmodel as dm
from dirtmodel.loading import postgres  # noqa: F401 - as above

MUTANT: Final = "mutant"
WORKER: Final = "worker"
FAILURE: Final = "failure.txt"
SHARE_OF_FAULTS: Final = 0.09
MEMORY: Final = 3 << 29
"""Bytes that a load of mutants may map in addition to those already mapped."""


class Worker:
    """Runs trials one after the other and records each.

    Consecutive trials of mutants run within one forked process. Trials of faults run in this
    process, which forks a process for each command.
    """

    def __init__(self, bench: Bench, results: int) -> None:
        self._bench = bench
        self._results = results
        self._number = mmap.mmap(-1, 8)
        """The number of the current trial; shared, so that it is known if a process dies."""

    @property
    def number(self) -> int:
        """The number of the current trial."""
        return int.from_bytes(self._number[:], "big")

    @number.setter
    def number(self, number: int) -> None:
        self._number[:] = number.to_bytes(8, "big")

    def run(self, first: int, step: int, deadline: float) -> None:
        """Run every `step`-th trial until the deadline, and at least one."""
        self._bench.folder.mkdir()
        self._warm_up()
        self.number = first
        while True:
            rng, kind = self._begin()
            if kind == MUTANT:
                self._mutants(step, deadline)
            else:
                self._trial(kind, partial(faulty, self._bench, rng, kind))
                self.number += step
            if time.monotonic() > deadline:
                return

    def _warm_up(self) -> None:
        """Import what a load imports."""
        release = next((self._bench.inputs / "releases").iterdir())
        dm.load(release, self._bench.folder / "warm.db")
        dm.check(release)
        # Frozen objects do not change in forked processes, so that these share their memory.
        gc.collect()
        gc.freeze()

    def _begin(self) -> tuple[random.Random, str]:
        """Return the random generator and the kind of the current trial."""
        rng = random.Random(f"{self._bench.seed}/{self.number}")  # noqa: S311 - to be repeatable
        kind = rng.choice(FAULTS) if chance(rng, SHARE_OF_FAULTS) else MUTANT
        if kind == "disk" and not self._bench.small_disk:
            kind = "file-size"
        if kind == "restart" and not self._bench.server.can_stop:
            kind = "backend"
        return rng, kind

    def _mutants(self, step: int, deadline: float) -> None:
        """Run trials of mutants in a forked process, up to the next fault."""
        pid = os.fork()
        if pid == 0:
            try:
                take_over_output(self._bench.folder / "stderr")
                limit({resource.RLIMIT_AS: address_space() + MEMORY})
                rng, kind = self._begin()
                while kind == MUTANT:
                    self._trial(MUTANT, partial(mutant, self._bench, rng))
                    self.number += step
                    if time.monotonic() > deadline:
                        break
                    rng, kind = self._begin()
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        if status:
            self._report(MUTANT, f"the process ended with {os.waitstatus_to_exitcode(status)}")
            self.number += step

    def _trial(self, kind: str, run: Callable[[Path], None]) -> None:
        self._folder.mkdir()
        failed = None
        try:
            run(self._folder)
        except Failure as error:
            failed = str(error)
        except Exception:  # noqa: BLE001 - a fault of the script's own is reported like any other
            failed = traceback.format_exc()
        self._report(kind, failed)

    @property
    def _folder(self) -> Path:
        """The folder of the current trial."""
        return self._bench.folder / str(self.number)

    def _report(self, kind: str, failed: str | None) -> None:
        if failed is None:
            shutil.rmtree(self._folder)
        else:
            (self._folder / FAILURE).write_text(failed, "utf-8", "backslashreplace")
        # All workers share the pipe; a line as short as this arrives in one piece.
        os.write(self._results, f"{self._folder}\t{kind}\t{failed is None:d}\n".encode())


def main() -> None:
    """Run trials in several processes, and report."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="duration in minutes (1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (0)")
    parser.add_argument("--trial", type=int, help="repeat only the trial with this number")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--postgres", metavar="URL", help="server to use instead of starting one")
    parser.add_argument(
        "--keep", type=Path, default=Path("torture-failures"), help="folder for failed trials"
    )
    sys.exit(torture(parser.parse_args()))


def torture(asked: argparse.Namespace) -> int:
    """Run the trials that the options select, and return the exit code."""
    first, jobs = (0, asked.jobs) if asked.trial is None else (asked.trial, 1)
    with (
        tempfile.TemporaryDirectory() as scratch,
        servers_at(asked.postgres, Path(scratch), jobs) as servers,
        contextlib.ExitStack() as stack,
    ):
        # One disk for each process, because a trial fills it.
        disks = [stack.enter_context(mounted_disk(Path(scratch, f"disk-{n}"))) for n in range(jobs)]
        inputs = Path(scratch, "inputs")
        inputs.mkdir()
        apart(prepare, inputs, servers)
        deadline = time.monotonic() + (asked.minutes * 60 if asked.trial is None else 0)
        reading, writing = os.pipe()
        workers = []
        for job, (disk, server) in enumerate(zip(disks, itertools.cycle(servers), strict=False)):
            bench = Bench(Path(scratch, f"worker-{job}"), inputs, server, asked.seed, disk)
            workers.append(begin(Worker(bench, writing), first + job, jobs, deadline))

        def end(number: int, _frame: object) -> NoReturn:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            sys.exit(128 + number)

        # So that `kill` cleans up. Workers do without, because it would change what they test.
        signal.signal(signal.SIGTERM, end)
        os.close(writing)
        return report(reading, workers, asked)


def begin(worker: Worker, first: int, step: int, deadline: float) -> int:
    """Run a worker in a forked process, and return the id of that process."""
    pid = os.fork()
    if pid == 0:
        try:
            worker.run(first, step, deadline)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the script's own
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def report(results: int, workers: list[int], asked: argparse.Namespace) -> int:
    """Read results until all workers are done, keep failed trials, and print the numbers.

    A worker that does not end by itself is a failure, because it has not run all its trials.
    """
    trials: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    with os.fdopen(results) as lines:
        for line in lines:
            folder, kind, passed = line.split("\t")
            trials[kind] += 1
            if not int(passed):
                failures[kind] += 1
                keep(asked, Path(folder), kind)
    for pid in workers:
        if status := os.waitpid(pid, 0)[1]:
            failures[WORKER] += 1
            print(f"FAILED: a worker ended with {os.waitstatus_to_exitcode(status)}")
    print(f"{'kind':<12}{'trials':>8}{'failures':>10}")
    for kind in sorted(trials | failures):
        print(f"{kind:<12}{trials[kind]:>8}{failures[kind]:>10}")
    print(f"{'all':<12}{trials.total():>8}{failures.total():>10}")
    return 1 if failures or not trials else 0


def keep(asked: argparse.Namespace, folder: Path, kind: str) -> None:
    """Keep the files of a failed trial, and print the command that repeats it."""
    number = folder.name
    place = asked.keep / f"{asked.seed}-{number}"
    shutil.move(folder, place)
    print(f"FAILED {kind} {number}: {(place / FAILURE).read_text('utf-8')[:1500]}")
    print(f"  repeat with: scripts/torture --seed {asked.seed} --trial {number}; files: {place}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
