"""The command line: one file per noun, put together in `app`."""


def main() -> None:
    """Run the command that the process was started with, and end it with its status."""
    from orrery.cli.app import run  # noqa: PLC0415 - nothing is imported to import this package

    raise SystemExit(run())
