"""Writing rows to files, as text, and as HTML for notebooks.

- `formats`: writing rows as a table, csv, tsv, json, ndjson or parquet
- `table`: tables that fit the width of a terminal
- `values`: converting single values to text and JSON
- `parquet`: writing parquet, with types inferred chunk by chunk
- `shown`: results as text, and as HTML in notebooks
- `files`: files that have temporary names until they are complete
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
