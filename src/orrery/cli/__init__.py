"""The command line: one file per noun, put together in `app`."""


def main() -> None:
    """Run the command that the process was started with, and end it with its status."""
    try:
        from orrery.cli.app import run  # noqa: PLC0415 - nothing is imported to import this package

        status = run()
    except KeyboardInterrupt:  # before or after what `run` watches over
        status = 130
    raise SystemExit(status)
