"""Rows into files, text and the HTML of notebooks.

- `formats`: table, csv, tsv, json, ndjson or parquet
- `table`: tables for people, of the width of a terminal
- `values`: single values as text and JSON
- `parquet`: Arrow types found out chunk by chunk
- `shown`: text, and HTML for notebooks
- `files`: files that take their name only when they are complete
"""

from dirtmodel.outputs.files import destination, is_stream, make_folder, refuse_existing, save
from dirtmodel.outputs.formats import FORMATS, format_of, write
from dirtmodel.outputs.shown import Report, table_html, table_text
from dirtmodel.outputs.values import describe_bytes, dumps, jsonable, text_cell, utc_text

__all__ = [
    "FORMATS",
    "Report",
    "describe_bytes",
    "destination",
    "dumps",
    "format_of",
    "is_stream",
    "jsonable",
    "make_folder",
    "refuse_existing",
    "save",
    "table_html",
    "table_text",
    "text_cell",
    "utc_text",
    "write",
]
