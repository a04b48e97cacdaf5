"""Where things stand in a TOML file, so that an error can name the line.

Parsers of TOML tell the place of what they cannot parse, but not that of what they could. This
walks over text that a parser has accepted, so it needs to tell keys, strings and brackets apart and
nothing more.
"""

import tomllib
from bisect import bisect_right
from itertools import accumulate

Location = tuple[str | int, ...]
"""A path into the data: keys of tables and numbers of array elements."""

_BLANKS = " \t\r\n"
_ENDS_VALUE = ",]}#\r\n"


def lines_of(text: str) -> dict[Location, int]:
    """The line, counted from 1, of every table, key and array element.

    Args:
        text: Valid TOML.
    """
    walker = _Walker(text)
    walker.walk()
    return walker.lines


class _Walker:
    def __init__(self, text: str) -> None:
        self.lines: dict[Location, int] = {(): 1}
        self._text = text
        self._at = 0
        self._starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
        self._tables: dict[Location, int] = {}

    def walk(self) -> None:
        table: Location = ()
        self._skip_blanks()
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._array_table()
            elif self._text[self._at] == "[":
                table = self._table()
            else:
                self._pair(table)
            self._skip_blanks()

    def _array_table(self) -> Location:
        line = self._line()
        self._at += 2
        *parents, name = self._dotted_key()
        self._at += 2
        array = (*self._resolve(parents), name)
        number = self._tables.get(array, -1) + 1
        self._tables[array] = number
        self.lines.setdefault(array, line)
        self.lines[*array, number] = line
        return (*array, number)

    def _table(self) -> Location:
        line = self._line()
        self._at += 1
        table = self._resolve(self._dotted_key())
        self._at += 1
        self.lines.setdefault(table, line)
        return table

    def _resolve(self, keys: list[str]) -> Location:
        """Keys as a header means them: through an array of tables, into its last one."""
        found: Location = ()
        for key in keys:
            found = (*found, key)
            self.lines.setdefault(found, self._line())
            if found in self._tables:
                found = (*found, self._tables[found])
        return found

    def _pair(self, table: Location) -> None:
        line = self._line()
        keys = self._dotted_key()
        for end in range(1, len(keys)):
            self.lines.setdefault((*table, *keys[:end]), line)
        self._at += 1  # =
        self._skip_blanks()
        self._value((*table, *keys), line)

    def _value(self, place: Location, line: int) -> None:
        self.lines[place] = line
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._at += 1
            number = 0
            while self._skip_blanks() != "]":
                self._value((*place, number), self._line())
                number += 1
                if self._skip_blanks() == ",":
                    self._at += 1
            self._at += 1
        elif first == "{":
            self._at += 1
            while self._skip_blanks() != "}":
                self._pair(place)
                if self._skip_blanks() == ",":
                    self._at += 1
            self._at += 1
        else:
            while self._at < len(self._text) and self._text[self._at] not in _ENDS_VALUE:
                self._at += 1

    def _dotted_key(self) -> list[str]:
        keys = []
        while True:
            self._skip_blanks()
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                literal = self._text[start : self._at]
                keys.append(str(tomllib.loads(f"key = {literal}")["key"]))
            else:
                while self._text[self._at] not in ".=] \t":
                    self._at += 1
                keys.append(self._text[start : self._at])
            if self._skip_blanks() != ".":
                return keys
            self._at += 1

    def _string(self) -> None:
        quote = self._text[self._at]
        close = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._at += len(close)
        while not self._text.startswith(close, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += len(close)
        # Up to two quotes may stand before the three that close a string of several lines.
        while len(close) == 3 and self._text.startswith(quote, self._at):
            self._at += 1

    def _skip_blanks(self) -> str:
        """Pass over blanks, line ends and comments; returns the next character."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._text[self._at] in _BLANKS:
                self._at += 1
            else:
                return self._text[self._at]
        return ""

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)
