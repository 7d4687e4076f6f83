"""Plain tables of text."""

from collections.abc import Sequence


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as indented lines, with the first column on the left and numbers right."""
    from tabulate import tabulate

    align = ["left", *["right"] * (len(head) - 1)]
    if head[-1] == "":
        align[-1] = "left"
    text = tabulate(rows, headers=head, tablefmt="plain", disable_numparse=True, colalign=align)
    return [f"  {line}".rstrip() for line in text.splitlines()]
