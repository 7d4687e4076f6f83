"""Check, decode, annotate and lay out the pictures that reviewers saw.

Everything here works on bytes and small dataclasses, without a database.
`header` uses only the standard library, because the loader runs it over every picture.
The other modules load Pillow when they are imported, so import them inside the functions that use
them.
"""
