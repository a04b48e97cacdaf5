"""What all tests stand on."""

import signal

import pytest


@pytest.fixture(autouse=True)
def can_be_interrupted() -> None:
    """Let SIGINT interrupt, which some tests send themselves.

    A shell lets what it starts in the background ignore it, and a loop of another test may have
    taken it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
