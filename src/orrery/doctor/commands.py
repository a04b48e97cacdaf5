"""The commands that mend findings, as a person at this machine would type them."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r", line (\d+): ")


@dataclass(frozen=True, slots=True)
class Commands:
    """Makes commands that are about this home.

    Attributes:
        path: The home, as it was named.
        option: What names it to Orrery: ` --home DIR`, or nothing where it is found anyway.
    """

    path: Path
    option: str = ""

    def orrery(self, command: str) -> str:
        """A command of Orrery about this home.

        Args:
            command: What stands behind `orrery`.
        """
        return f"orrery {command}{self.option}"

    def edit(self, path: Path, mistake: str = "") -> str:
        """Open a file in the editor of whoever runs this.

        Args:
            path: The file.
            mistake: What is wrong in it, which may tell the line.
        """
        found = _LINE.search(mistake)
        place = f"+{found[1]} " if found else ""
        return f"${{EDITOR:-vi}} {place}{quote(path)}"

    @property
    def mend(self) -> str:
        """Do what every command does that changes a home, and no more."""
        return self.orrery("doctor --mend")


def quote(path: Path) -> str:
    """A path for a shell; one that begins with a hyphen is no option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def quote_name(name: str) -> str:
    """A name of a World or host for a shell."""
    return shlex.quote(name)


def install_part(part: str) -> str:
    """Install a part of Orrery into the Python that runs this."""
    return f"{shlex.quote(sys.executable)} -m pip install 'zt-orrery[{part}]'"
