"""The errors and warnings that the check of a release reports, each kind with a stable code."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from dirtmodel.models.types import LARGEST_NUMBER
from dirtmodel.wording import count

N_EXAMPLES: Final = 5
MAX_EXAMPLE_LENGTH: Final = 300

ERRORS: Final = {
    "missing-file": "a file of the release is missing",
    "unreadable-file": "not a parquet file, or a damaged one",
    "missing-column": "a required column is missing",
    "wrong-type": "a column has a type that cannot hold its values",
    "bad-value": "a value that the column cannot hold without loss",
    "null-id": "a row without an id that has values in other columns",
    "null-value": "NULL in a required column",
    "nul-character": "text with a NUL character, which a database cannot store",
    "unknown-enum": f"a number that DIRT does not define; --extend keeps 0 to {LARGEST_NUMBER}",
    "duplicate-id": "an id that an earlier row of the file has",
    "duplicate-image": "an image_meta (slice, file1, display, step) that an earlier row has",
    "missing-image": "a row whose image does not exist or could not be loaded",
    "missing-session": "a row whose session does not exist or could not be loaded",
    "bad-picture": "a picture that is not a complete PNG or GIF of acceptable size",
}
"""Errors by code. Rows with an error cannot be loaded."""

WARNINGS: Final = {
    "empty-rows": "rows that are NULL in every column were dropped (last lines of the dump)",
    "large-pages": "a file with large pages, so that reading it takes much memory",
    "no-notes": "no notes column: a release from before DIRT had notes",
    "extra-column": "a column that DIRT does not have is kept",
    "unkept-column": "a column that DIRT does not have cannot be kept",
    "kept-number": "a number that DIRT does not define is kept under a placeholder name",
    "no-rater": "sessions without a user: their rater is unknown",
    "similar-raters": "users who differ only in case or blanks are counted as separate raters",
    "repeated-image": "several images without a slice share (file1, display, step)",
    "no-entities": "a file1 that does not name a subject",
    "session-step": "a review of an image in a session of another step",
    "crossed-table": "a verdict on a click step, or clicks on a verdict step",
    "half-click": "a click that has only x or only y",
    "non-finite-click": "a click at infinity",
    "off-picture-click": "a click outside the picture",
    "copy-escapes": r"notes with escapes of the dump (\n, \t, \\) as literal text",
}
"""Warnings by code. Rows with a warning are loaded unchanged."""

FATAL: Final = frozenset({"missing-file", "unreadable-file", "missing-column", "wrong-type"})
"""Errors because of which the release cannot be loaded, not even with a quarantine."""


class Finding(NamedTuple):
    """All errors or warnings of one kind in one file, with their number and some examples."""

    code: str
    severity: str
    file: str
    message: str
    n: int
    examples: tuple[str, ...]


class Findings:
    """Counts errors and warnings, and keeps the first examples of each kind."""

    def __init__(self, n_examples: int = N_EXAMPLES) -> None:
        self.n_examples = n_examples
        self._counts: dict[tuple[str, str], int] = {}
        self._examples: dict[tuple[str, str], list[str]] = {}

    def add(self, code: str, file: str, n: int, examples: Iterable[str] = ()) -> None:
        """Count `n` more of a kind; only as many of `examples` are read as will be kept."""
        if n == 0:
            return
        key = (code, file)
        self._counts[key] = self._counts.get(key, 0) + n
        kept = self._examples.setdefault(key, [])
        for example in examples:
            if len(kept) >= self.n_examples:
                break
            kept.append(shown(example))

    def report(self) -> list[Finding]:
        """Return the findings, errors before warnings, in the order of `ERRORS` and `WARNINGS`."""
        order = {code: n for n, code in enumerate((*ERRORS, *WARNINGS))}
        findings = [
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
        return sorted(findings, key=lambda finding: (order[finding.code], finding.file))

    def errors(self) -> list[Finding]:
        """Return the findings that are errors."""
        return [finding for finding in self.report() if finding.severity == "error"]


def shown(example: str) -> str:
    """Shorten an example, and escape characters that could control a terminal."""
    cut = example[: MAX_EXAMPLE_LENGTH - 1] + "…" if len(example) > MAX_EXAMPLE_LENGTH else example
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def describe(findings: Sequence[Finding]) -> str:
    """Return findings as lines of text.

    >>> print(describe([Finding("duplicate-id", "error", "rating.parquet",
    ...     "an id that an earlier row of the file has", 7, ("rating.parquet row 12: id 3",))]))
    error    duplicate-id       rating.parquet      7  an id that an earlier row of the file has
               rating.parquet row 12: id 3
               and 6 more
    """
    lines: list[str] = []
    for f in findings:
        lines.append(f"{f.severity:<8} {f.code:<18} {f.file:<18} {f.n:>2}  {f.message}")
        lines += [f"           {example}" for example in f.examples]
        if f.examples and f.n > len(f.examples):
            lines.append(f"           and {f.n - len(f.examples):,} more")
    return "\n".join(lines)


def total(findings: Iterable[Finding]) -> str:
    """Return the numbers of errors and warnings as a sentence.

    >>> total([])
    '0 errors and 0 warnings.'
    """
    totals = {"error": 0, "warning": 0}
    for finding in findings:
        totals[finding.severity] += finding.n
    return " and ".join(count(n, severity) for severity, n in totals.items()) + "."
