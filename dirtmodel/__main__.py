"""`python -m dirtmodel`, and the program `dirtmodel`."""

import signal


def run() -> None:
    """Run the command line; Ctrl-C while it is imported ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dirtmodel.cli import main

    main(prog_name="dirtmodel")


if __name__ == "__main__":
    run()
