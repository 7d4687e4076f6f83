"""Differences as one self-contained HTML page: no script, no file, no network."""

import base64
import html
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any, Final

from dirtmodel.differences.comparison import Differences
from dirtmodel.differences.gallery import Gallery, Half, Pair, thumbnail
from dirtmodel.differences.report import causes, counted, flat_rows, row_columns, text_of
from dirtmodel.differences.rows import TABLES, readable
from dirtmodel.differences.sides import Side
from dirtmodel.differences.verdicts import KINDS, VerdictChange
from dirtmodel.errors import PictureError

MOST_PICTURES: Final = 60
_MOST_ROWS: Final = 200

_STYLE: Final = """
:root { color-scheme: light dark;
  --paper: light-dark(#f6f7f9, #14161a); --card: light-dark(#ffffff, #1d2026);
  --ink: light-dark(#1b1f26, #e6e9ef); --faint: light-dark(#657080, #98a2b3);
  --line: light-dark(#e1e5ea, #31363f); --good: light-dark(#0b7a55, #4cc38a);
  --bad: light-dark(#b3261e, #ff8a80); --odd: light-dark(#8a5a00, #ffca5f);
  --accent: light-dark(#2456c4, #8ab0ff); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; letter-spacing: -.02em; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; letter-spacing: -.01em; }
.faint { color: var(--faint); } code { font-size: .9em; overflow-wrap: anywhere; }
.sides { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0; }
.sides dt { color: var(--faint); } .sides dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .8rem; text-align: left; vertical-align: top;
  border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--faint); font-weight: 500; font-size: .85rem; }
td.n, th.n { text-align: right; } td.zero { color: var(--faint); opacity: .55; }
td.causes { font-size: .87rem; color: var(--faint); min-width: 18rem; }
td b { font-weight: 650; }
.chip { display: inline-block; padding: .05rem .55rem; border-radius: 99px; font-size: .8rem;
  border: 1px solid currentColor; white-space: nowrap; }
.excluded, .FAIL { color: var(--bad); } .kept, .PASS { color: var(--good); }
.partial, .UNSURE { color: var(--odd); } .unreviewed, .none { color: var(--faint); }
.pairs { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem; overflow: hidden; }
article header { font-size: .87rem; margin-bottom: .7rem; overflow-wrap: anywhere; }
article header strong { display: block; font-size: .95rem; }
.why { color: var(--accent); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .7rem; }
figure { margin: 0; min-width: 0; } figure img { width: 100%; height: auto; display: block;
  border-radius: 6px; background: #000; }
figcaption { font-size: .82rem; margin-top: .4rem; } figcaption em { font-style: normal;
  color: var(--faint); display: block; }
.missing { aspect-ratio: 4 / 3; display: grid; place-items: center; text-align: center;
  padding: 1rem; border: 1px dashed var(--line); border-radius: 6px; color: var(--faint);
  font-size: .85rem; }
details { margin-top: .8rem; } summary { cursor: pointer; padding: .3rem 0; }
.scroll td { overflow-wrap: break-word; }
.nowrap { white-space: nowrap; }
"""

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write(found: Differences, file: IO[bytes], *, most_pictures: int = MOST_PICTURES) -> None:
    """Write the page.

    Parameters
    ----------
    most_pictures
        Largest number of pairs of pictures; the page says how many it leaves out.
    """
    for part in _page(found, most_pictures):
        file.write(part.encode())


def _page(found: Differences, most_pictures: int) -> Iterator[str]:
    title = f"{_called(found.old)} → {_called(found.new)}"
    yield (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>What changed: {_safe(title)}</h1>\n"
    )
    yield _sides(found)
    yield _counts(found)
    changes = list(found.verdicts())
    yield from _verdicts(found, changes)
    yield from _pictures(found, most_pictures)
    yield from _stale(found)
    yield from _schema(found)
    yield from _rows(found)
    yield "</main>\n</body>\n</html>\n"


def _safe(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _called(side: Side) -> str:
    return side.label or side.place


def _sides(found: Differences) -> str:
    lines = [
        f"<dt>{name}</dt><dd><code>{_safe(side.place)}</code>"
        + (f' <span class="faint">revision {_safe(side.revision)}</span>' if side.revision else "")
        + "</dd>"
        for name, side in (("old", found.old), ("new", found.new))
    ]
    lines.append(f"<dt>rule</dt><dd><code>{_safe(found.rule.rule_text)}</code></dd>")
    return f'<dl class="sides">{"".join(lines)}</dl>\n'


def _table(heads: Iterable[str], rows: Iterable[str], numbers_from: int | None = None) -> str:
    cells = "".join(
        f"<th{' class=n' if numbers_from is not None and n >= numbers_from else ''}>"
        f"{_safe(head)}</th>"
        for n, head in enumerate(heads)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _counts(found: Differences) -> str:
    names = ("added", "removed", "changed", "rekeyed", "unchanged")
    rows = []
    for table, counts in found.count().items():
        cells = "".join(
            f'<td class="n{"" if n else " zero"}">{n:,}</td>'
            for n in (getattr(counts, name) for name in names)
        )
        rows.append(f"<tr><th>{table}</th>{cells}</tr>")
    text = "<h2>Rows</h2>\n" + _table(("", *names), rows, numbers_from=1)
    if n := found.counts["image"].re_encoded:
        text += (
            f'<p class="faint">{counted(n, "re-encoded picture")}: other bytes, same pixels.</p>\n'
        )
    return text


def _verdicts(found: Differences, changes: list[VerdictChange]) -> Iterator[str]:
    if not changes:
        yield "<h2>Verdicts</h2>\n<p>No verdict changed under this rule.</p>\n"
    for kind in KINDS:
        chosen = [change for change in changes if kind in change.kinds]
        if not chosen:
            continue
        yield f"<h2>{counted(len(chosen), str(found.rule.level))} {kind.replace('_', ' ')}</h2>\n"
        rows = [
            "<tr>"
            + "".join(f"<td>{_value(name, value)}</td>" for name, value in change.unit.items())
            + f'<td class="nowrap">{_status(change.old)} → {_status(change.new)}</td>'
            + f'<td class="causes">{_safe(causes(change))}</td></tr>'
            for change in chosen[:_MOST_ROWS]
        ]
        yield _table((*chosen[0].unit, "status", "because of"), rows)
        yield _more(len(chosen), "--verdicts")


def _value(name: str, value: Any) -> str:
    return "" if value is None else _safe(text_of(readable(name, value)))


def _status(side: dict[str, Any] | None) -> str:
    status = side["status"] if side else "not there"
    return f'<span class="chip {_safe(status) if side else "none"}">{_safe(status)}</span>'


def _more(n: int, option: str) -> str:
    if n <= _MOST_ROWS:
        return ""
    return (
        f'<p class="faint">And {n - _MOST_ROWS:,} more; see all with <code>{option}</code>.</p>\n'
    )


def _pictures(found: Differences, most: int) -> Iterator[str]:
    gallery = Gallery(found, most)
    if gallery.n_shown:
        yield '<h2>Pictures</h2>\n<div class="pairs">\n'
        yield from (_pair(found, pair) for pair in gallery)
        yield "</div>\n"
    if gallery.n_left_out:
        yield (
            f'<p class="faint">{gallery.n_left_out:,} more pictures with differences were left '
            "out of this page.</p>\n"
        )


def _pair(found: Differences, pair: Pair) -> str:
    half = pair.new or pair.old
    assert half is not None  # noqa: S101 - a pair has at least one
    image = half.image
    place = "" if image.slice is None else f" {image.slice}"
    return (
        f"<article><header><strong>{_safe(image.file1)}</strong>"
        f"{_safe(readable('step', image.step))} · "
        f"{_safe(readable('display', image.display))}{place} · "
        f'<span class="why">{_safe(", ".join(pair.why))}</span></header>\n'
        f'<div class="pair">{_half(found.old, pair.old, "old")}'
        f"{_half(found.new, pair.new, 'new')}</div></article>\n"
    )


def _half(side: Side, half: Half | None, name: str) -> str:
    if half is None:
        return f'<figure><div class="missing">not in the {name} release</div></figure>'
    try:
        data = base64.b64encode(thumbnail(side, half)).decode("ascii")
        picture = f'<img alt="image {half.image.id}, {name}" src="data:image/webp;base64,{data}">'
    except PictureError as error:
        picture = f'<div class="missing">{_safe(error)}</div>'
    verdicts = " ".join(
        f'<span class="chip {_safe(verdict.partition(" ")[0])}">{_safe(verdict)}</span>'
        for verdict in half.verdicts
    )
    clicks = "" if half.n_clicks is None else counted(half.n_clicks, "click")
    found = " ".join(filter(None, (verdicts, clicks))) or '<span class="none">not reviewed</span>'
    caption = f"<figcaption><em>{name}, image {half.image.id}</em>{found}</figcaption>"
    return f"<figure>{picture}{caption}</figure>"


def _stale(found: Differences) -> Iterator[str]:
    rows = []
    n = 0
    for n, review in enumerate(found.stale_reviews(), 1):
        if n <= _MOST_ROWS:
            what = "verdict" if review.table == "rating" else f"clicks ({len(review.ids)})"
            place = "" if review.slice is None else f" {review.slice}"
            cells = (
                what,
                review.rater or "unknown",
                f"{review.created:%Y-%m-%d %H:%M}",
                review.step,
                f"{review.display}{place}",
                review.file1,
                review.reason,
            )
            rows.append(f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in cells)}</tr>")
    if rows:
        yield f"<h2>{counted(n, 'stale review')}</h2>\n"
        yield "<p>Their picture is not the one that was judged.</p>\n"
        yield _table(("review", "rater", "made", "step", "cut", "file", "why"), rows)
        yield _more(n, "--format json")


def _schema(found: Differences) -> Iterator[str]:
    rows = [
        f"<tr><td>{_safe(entry['only_in'])}</td><td>{_safe(entry['change'])}</td>"
        f"<td>{_safe(entry.get('message') or '; '.join(entry.get('examples', [])))}</td></tr>"
        for entry in found.schema()
    ]
    if rows:
        yield "<h2>Schema</h2>\n" + _table(("only in", "what", ""), rows)


def _rows(found: Differences) -> Iterator[str]:
    yield "<h2>Row by row</h2>\n"
    for table in TABLES:
        n_rows = found.count()[table].n_differences
        if not n_rows:
            continue
        lines = (
            "<tr>" + "".join(f"<td>{_value('', cell)}</td>" for cell in row) + "</tr>"
            for row in islice(flat_rows(table, found.rows(table)), _MOST_ROWS)
        )
        yield f"<details><summary><b>{table}</b> ({n_rows:,})</summary>\n"
        yield _table(row_columns(table), lines)
        yield _more(n_rows, f"--table {table}") + "</details>\n"
