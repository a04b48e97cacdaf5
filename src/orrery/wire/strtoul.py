"""Numbers as the C library's strtoul and strtoull read them, which is how a node reads text."""

import re

_NUMBER = {
    10: re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)"),
    16: re.compile(rb"[ \t\n\v\f\r]*([+-]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)"),
}
_LARGEST = 2**64 - 1


def strtoul(text: bytes, base: int) -> int:
    """The 64-bit number at the start of the text, 0 if there is none.

    Blanks before it are skipped, a minus negates it modulo 2^64, base 16 allows `0x`, whatever
    follows the digits is ignored, and a number too large gives the largest (C17 7.22.1.4).

    Args:
        text: what to read.
        base: 10 or 16.
    """
    found = _NUMBER[base].match(text)
    if found is None:
        return 0
    number = int(found[2], base)
    if number > _LARGEST:
        return _LARGEST
    return -number & _LARGEST if found[1] == b"-" else number
