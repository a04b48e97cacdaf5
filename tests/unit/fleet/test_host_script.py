"""What is taken of what a host says into a sentence."""

import pytest

from orrery.fleet.host_script import one_line


@pytest.mark.parametrize(
    "told",
    [
        "sh: 72: cd: can't cd to /nowhere\n",
        "sh: line 72: cd: can't cd to /nowhere\nmore",
        "/bin/sh: 72: cd: can't cd to /nowhere",
        "  cd: can't cd to /nowhere  ",
    ],
)
def test_where_in_the_script_a_shell_was_is_left_out(told: str) -> None:
    assert one_line(told) == "cd: can't cd to /nowhere"


def test_it_is_one_line_that_does_nothing_to_a_terminal() -> None:
    assert one_line("\x1b[2Jcleared\r\nand more") == "?[2Jcleared"
    assert len(one_line("x" * 10_000)) == 300
