"""The pictures that reviewers saw: checking, decoding, drawing, laying out.

Everything here works on bytes and small dataclasses, and knows no database.
`header` needs nothing but the standard library, because the loader runs it over every picture;
the other modules load Pillow when they are imported, so import them where they are used.
"""
