"""Lines for people: what is to be copied stays whole."""

from orrery.cli.output import wrap


def test_a_command_stays_on_one_line() -> None:
    command = "`ssh -o UserKnownHostsFile=/etc/orrery/known_hosts -p 2222 root@203.0.113.8 true`"
    for indent in (0, 4, 40):
        lines = wrap(f"its host key is not known here: accept it by {command}, or name it", indent)
        assert command in "\n".join(lines)
        assert all(len(line) <= 80 - indent or command in line for line in lines)
    assert wrap("a `b` and a lone ` mark") == ["a `b` and a lone ` mark"]
    assert wrap("") == []
