"""Escape control characters on terminals, so that they are shown and have no effect.

This applies to everything that a command prints on a terminal: rows in any format, messages, and
paths and names in errors. Files and pipes receive the data unchanged.
"""

import codecs
import io
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_KEPT: Final = "\n\t"


def protect() -> None:
    """Replace stdout and stderr by streams that escape, if they are terminals."""
    sys.stdout = _protected(sys.stdout)
    sys.stderr = _protected(sys.stderr)


def unprotected(stream: TextIO) -> TextIO:
    """Return the original stream, for the control characters of progress bars and colours."""
    below = getattr(stream, "buffer", None)
    return below.terminal if isinstance(below, _Escaping) else stream


def _protected(stream: TextIO) -> TextIO:
    if not (isinstance(stream, io.TextIOWrapper) and stream.isatty()):
        return stream
    # Bytes of file names that are not UTF-8 are passed on and shown as escapes.
    return io.TextIOWrapper(
        _Escaping(stream),  # type: ignore[type-var]  # reading is not needed
        "utf-8",
        "surrogateescape",
        line_buffering=True,
    )


class _Escaping(io.BufferedIOBase):
    """A stream that takes UTF-8 and writes it to a terminal in the terminal's own encoding."""

    def __init__(self, terminal: io.TextIOWrapper) -> None:
        terminal.reconfigure(errors="backslashreplace")
        self.terminal = terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.terminal.fileno()

    def write(self, data: "ReadableBuffer", /) -> int:
        from dirtmodel.outputs.values import escape_control

        view = memoryview(data)
        self.terminal.write(escape_control(self._decoder.decode(view), keep=_KEPT))
        return view.nbytes

    def flush(self) -> None:
        self.terminal.flush()
