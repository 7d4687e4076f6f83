"""What the check of a release finds, each kind under a stable code."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from dirtmodel.models.types import LARGEST_NUMBER

N_EXAMPLES: Final = 5
MAX_EXAMPLE_LENGTH: Final = 300

ERRORS: Final = {
    "missing-file": "a file of the release is not there",
    "unreadable-file": "not a parquet file, or a damaged one",
    "missing-column": "a required column is not there",
    "wrong-type": "a column's type cannot carry what belongs in it",
    "bad-value": "a value that the column cannot hold without loss",
    "null-id": "a row without an id that is not empty throughout",
    "null-value": "NULL in a required column",
    "nul-character": "text with a NUL character, which no database keeps",
    "unknown-enum": f"a number that DIRT does not define; --extend keeps 0 to {LARGEST_NUMBER}",
    "duplicate-id": "an id that an earlier row of the file has",
    "duplicate-image": "an image_meta (slice, file1, display, step) that an earlier row has",
    "missing-image": "a row whose image does not exist or could not be loaded",
    "missing-session": "a row whose session does not exist or could not be loaded",
    "bad-picture": "a picture that is not a whole PNG or GIF of sensible size",
}
"""Rows with any of these cannot be loaded; the first four condemn the whole release."""

WARNINGS: Final = {
    "empty-rows": "rows that are NULL throughout were dropped (the dump's last lines)",
    "large-pages": "a file whose pages are large, so that reading it takes much memory",
    "no-notes": "no notes column: a release from before DIRT had notes",
    "extra-column": "a column that DIRT does not have is kept",
    "unkept-column": "a column that DIRT does not have cannot be kept",
    "kept-number": "a number that DIRT does not define is kept under a placeholder name",
    "no-rater": "sessions without a user: their rater is unknown",
    "similar-raters": "users who differ only in case or blanks are counted as separate raters",
    "repeated-image": "several images without a slice share (file1, display, step)",
    "no-entities": "a file1 in which no subject can be read",
    "session-step": "a review of an image in a session of another step",
    "crossed-table": "a verdict on a click step, or clicks on a verdict step",
    "half-click": "a click of which only x or only y is given",
    "non-finite-click": "a click at infinity",
    "off-picture-click": "a click outside the picture",
    "copy-escapes": r"notes with escapes of the dump (\n, \t, \\) as literal text",
}
"""Rows with these are loaded as they are."""

FATAL: Final = frozenset({"missing-file", "unreadable-file", "missing-column", "wrong-type"})
"""Errors that leave nothing to load, quarantine or not."""


class Finding(NamedTuple):
    """One kind of thing found in one file."""

    code: str
    severity: str
    file: str
    message: str
    n: int
    examples: tuple[str, ...]


class Findings:
    """Collects findings, counting all and keeping the first examples of each kind."""

    def __init__(self, n_examples: int = N_EXAMPLES) -> None:
        self.n_examples = n_examples
        self._counts: dict[tuple[str, str], int] = {}
        self._examples: dict[tuple[str, str], list[str]] = {}

    def add(self, code: str, file: str, n: int, examples: Iterable[str] = ()) -> None:
        """Count `n` more of a kind; `examples` is only read as far as it is needed."""
        if n == 0:
            return
        key = (code, file)
        self._counts[key] = self._counts.get(key, 0) + n
        kept = self._examples.setdefault(key, [])
        for example in examples:
            if len(kept) >= self.n_examples:
                break
            kept.append(_shown(example))

    def report(self) -> list[Finding]:
        """Return the findings: errors first, each in the order of the tables above."""
        order = {code: n for n, code in enumerate((*ERRORS, *WARNINGS))}
        found = [
            Finding(
                code=code,
                severity="error" if code in ERRORS else "warning",
                file=file,
                message=ERRORS.get(code) or WARNINGS[code],
                n=n,
                examples=tuple(self._examples[code, file]),
            )
            for (code, file), n in self._counts.items()
        ]
        return sorted(found, key=lambda finding: (order[finding.code], finding.file))

    def errors(self) -> list[Finding]:
        """Return those that keep rows from being loaded."""
        return [finding for finding in self.report() if finding.severity == "error"]


def _shown(example: str) -> str:
    """Shorten an example, and escape what a terminal might obey: names are data, too."""
    cut = example[: MAX_EXAMPLE_LENGTH - 1] + "…" if len(example) > MAX_EXAMPLE_LENGTH else example
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def describe(findings: Sequence[Finding]) -> str:
    """Write findings as lines for people.

    >>> print(describe([Finding("duplicate-id", "error", "rating.parquet",
    ...     "an id that an earlier row of the file has", 7, ("rating.parquet row 12: id 3",))]))
    error    duplicate-id       rating.parquet      7  an id that an earlier row of the file has
               rating.parquet row 12: id 3
               and 6 more
    """
    lines: list[str] = []
    for found in findings:
        lines.append(
            f"{found.severity:<8} {found.code:<18} {found.file:<18} {found.n:>2}  {found.message}"
        )
        lines += [f"           {example}" for example in found.examples]
        if found.examples and found.n > len(found.examples):
            lines.append(f"           and {found.n - len(found.examples):,} more")
    return "\n".join(lines)


def total(findings: Iterable[Finding]) -> str:
    """Return the number of errors and warnings as a sentence.

    >>> total([])
    '0 errors and 0 warnings.'
    """
    n = {"error": 0, "warning": 0}
    for finding in findings:
        n[finding.severity] += finding.n
    return " and ".join(f"{n[s]:,} {s}{'' if n[s] == 1 else 's'}" for s in n) + "."
