"""Files of other tools, from recorded ones."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from tests.vectors.loading import load

_Result = TypeVar("_Result")

EARTH = bytes.fromhex(load("worlds.json")["earth"]["serialized"])
"""The planet that is built into every client: 570 bytes."""
FIRST_RUN = next(case for case in load("worlds.json")["mkworld"] if case["name"] == "first-run")


def idtool(name: str) -> dict[str, Any]:
    """One recorded run of initmoon and genmoon."""
    found: dict[str, Any] = next(
        case for case in load("worlds.json")["idtool"] if case["name"] == name
    )
    return found


def moon_json(**changes: Any) -> dict[str, Any]:
    """The JSON of the case `one-v4`, with keys replaced, or removed where they are None."""
    changed = {**idtool("one-v4")["edited_json"], **changes}
    return {key: value for key, value in changed.items() if value is not None}


def root_json(*endpoints: Any, **changes: Any) -> dict[str, Any]:
    """One root of a moon.json."""
    identity = idtool("one-v4")["first_identity"]
    return {"identity": identity, "stableEndpoints": list(endpoints), **changes}


def encoded(value: Any) -> bytes:
    """JSON as a file holds it."""
    return json.dumps(value).encode()


def outcome(
    call: Callable[[], _Result], refusal: type[Exception]
) -> tuple[_Result, None] | tuple[None, str]:
    """What a call returns, or the sentence with which it refuses."""
    try:
        return call(), None
    except refusal as error:
        return None, str(error)
