"""`python -m dirtmodel`, for where the program itself is on no path."""

from dirtmodel.cli import main

main(prog_name="dirtmodel")
