"""The bytes of a file, and what they are as text and as JSON, each within bounds."""

import json
import re
from functools import cached_property
from typing import Any, Final

from orrery.errors import DecodeError

MAX_FILE_BYTES: Final = 1 << 20
"""No World, with its four roots, comes near this in any format."""
_MAX_JSON_DEPTH = 16
# The end of a string is optional, so that one without an end is passed over once, not from each
# quote in it again.
_JSON_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


class Content:
    """What a file holds.

    Attributes:
        data: its bytes.
    """

    def __init__(self, data: bytes) -> None:
        """Take the bytes of a file.

        Raises:
            DecodeError: they are none, or too many for any format.
        """
        if not data:
            raise DecodeError("the file is empty: copy it again")
        if len(data) > MAX_FILE_BYTES:
            raise DecodeError(
                f"the file has more than {MAX_FILE_BYTES} bytes, and no World has: "
                "is it the right file?"
            )
        self.data = data

    @cached_property
    def text(self) -> str | None:
        """The text, without byte order mark and blanks around it; None when it is no text.

        UTF-16 is what redirection in Windows PowerShell writes.
        """
        utf16 = self.data.startswith((b"\xff\xfe", b"\xfe\xff"))
        try:
            text = self.data.decode("utf-16" if utf16 else "utf-8-sig")
        except UnicodeDecodeError:
            return None
        return None if _CONTROL.search(text) else text.strip()

    @property
    def looks_like_json(self) -> bool:
        """Whether the text begins like a JSON object or list."""
        return self.text is not None and self.text.startswith(("{", "["))

    @cached_property
    def json(self) -> Any:
        """What the text says as JSON.

        Raises:
            DecodeError: it is no JSON, is nested too deep, or has a key twice.
        """
        text = self.text or ""
        _check_depth(text)
        try:
            return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise DecodeError(
                f"line {error.lineno}, column {error.colno}: this is not JSON "
                f"({error.msg.lower()}): look for a missing comma, quote or bracket"
            ) from None
        except ValueError as error:
            # Python refuses to read numbers of thousands of digits.
            raise DecodeError(f"this is not JSON that any tool reads: {error}") from None


def _check_depth(text: str) -> None:
    depth = 0
    for match in _JSON_STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > _MAX_JSON_DEPTH:
                line = text.count("\n", 0, match.start()) + 1
                raise DecodeError(
                    f"line {line}: brackets are nested more than {_MAX_JSON_DEPTH} deep, "
                    "which no World needs"
                )
        elif match[0] in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DecodeError(f"the key {key[:40]!r} stands twice in one object: remove one")
        found[key] = value
    return found


def _refuse_constant(word: str) -> Any:
    raise DecodeError(f"{word} is not JSON: write a number")
