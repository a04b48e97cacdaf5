import tomllib

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from orrery.home.positions import lines_of

TEXT = """\
# a comment with [[world]] in it
title = "x" # and = here

[[world]]
name = 'a # no comment'
  [[world.root]]
  endpoints = [
    "1.2.3.4/5", # the first [
    # nothing here ]

    "[::1]:5" ]
  [[world.root]]
  endpoints = []
[[world]]
text = \"\"\"
several "lines"
[[world]]
\"\"\"\"
root = [{ name = "inline", endpoints = ["x",
  "y"] }, { name = 'z' }]

[serve]
a.b.c = 1979-05-27T07:32:00Z
"quoted key" = 1
"esc\\u0061ped" . 'literal' = [[1, 2], [ 3 ]]
[serve.sub]
last = true"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ((), 1),
        (("title",), 2),
        (("world",), 4),
        (("world", 0), 4),
        (("world", 0, "name"), 5),
        (("world", 0, "root", 0), 6),
        (("world", 0, "root", 0, "endpoints"), 7),
        (("world", 0, "root", 0, "endpoints", 0), 8),
        (("world", 0, "root", 0, "endpoints", 1), 11),
        (("world", 0, "root", 1), 12),
        (("world", 0, "root", 1, "endpoints"), 13),
        (("world", 1), 14),
        (("world", 1, "text"), 15),
        (("world", 1, "root", 0, "endpoints", 0), 19),
        (("world", 1, "root", 0, "endpoints", 1), 20),
        (("world", 1, "root", 1, "name"), 20),
        (("serve",), 22),
        (("serve", "a", "b", "c"), 23),
        (("serve", "a"), 23),
        (("serve", "quoted key"), 24),
        (("serve", "escaped", "literal", 1, 0), 25),
        (("serve", "sub", "last"), 27),
    ],
)
def test_lines_are_those_a_person_counts(location: tuple[str | int, ...], line: int) -> None:
    assert tomllib.loads(TEXT)["world"][1]["text"].startswith("several")
    assert lines_of(TEXT)[location] == line


def test_line_ends_of_windows_count_once() -> None:
    assert lines_of(TEXT.replace("\n", "\r\n")) == lines_of(TEXT)


_VALUES = st.recursive(
    st.integers(-(2**31), 2**31) | st.booleans() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def _locations(value: object, here: tuple[str | int, ...]) -> set[tuple[str | int, ...]]:
    found = {here}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= _locations(inner, (*here, key))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            found |= _locations(inner, (*here, number))
    return found


@given(data=st.dictionaries(st.text(min_size=1, max_size=5), _VALUES, max_size=4))
def test_everything_in_a_file_has_a_line(data: dict[str, object]) -> None:
    text = tomlkit.dumps(data)
    read = tomllib.loads(text)
    lines = lines_of(text)
    assert _locations(read, ()) <= lines.keys()
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
