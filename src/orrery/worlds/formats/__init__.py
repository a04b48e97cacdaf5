"""Worlds in every format that people have them in.

`read` finds out the format by itself and gives a `Document`; `write` makes the bytes of any of
`FORMATS` from one. Neither touches a disk.
"""

from orrery.worlds.formats.content import MAX_FILE_BYTES
from orrery.worlds.formats.document import Document
from orrery.worlds.formats.registry import FORMATS, Format, by_name, read, write

__all__ = ["FORMATS", "MAX_FILE_BYTES", "Document", "Format", "by_name", "read", "write"]
