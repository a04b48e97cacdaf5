"""What is told of a mistake: a sentence for everything that can be wrong with a settings file."""

import difflib
import re
import tomllib
from collections.abc import Mapping

from pydantic import BaseModel
from pydantic_core import ErrorDetails, PydanticCustomError

from orrery.home.positions import Location

Tables = Mapping[tuple[str, ...], tuple[str, type[BaseModel]]]
"""What a file is made of: keys that lead to a table, what to call it, and its model.

Without keys it is the file itself.
"""


def mistake(sentence: str) -> PydanticCustomError:
    """An error for a value, told as it is written here."""
    return PydanticCustomError("orrery", "{sentence}", {"sentence": sentence})


def did_you_mean(word: str, known: list[str]) -> str:
    """The end of a sentence about a word that is not known."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"


def not_toml(error: tomllib.TOMLDecodeError, text: str, name: str) -> str:
    """What a parser of TOML says, with file and line in front."""
    what, _, place = str(error).removesuffix(")").partition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found is not None else text.count("\n") + 1
    return (
        f"{name}, line {line}: this is not TOML ({what[:1].lower()}{what[1:]}); check quotes and "
        "brackets"
    )


def line_of(location: Location, lines: Mapping[Location, int]) -> int:
    """The line of something, or of the table where it is missing."""
    while location not in lines:
        location = location[:-1]
    return lines[location]


def sentence_of(detail: ErrorDetails, tables: Tables) -> str:
    """A sentence for an error of pydantic.

    Args:
        detail: The error.
        tables: What the file is made of.
    """
    whole = tables[()][1]
    location, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    key = str(location[-1]) if location else ""
    table, model = tables.get(
        tuple(str(part) for part in location[:-1] if not isinstance(part, int)), ("this", whole)
    )
    match kind:
        case "orrery":
            return str(context["sentence"])
        case "extra_forbidden":
            owners = [
                other
                for other, its_model in tables.values()
                if key in _keys(its_model) and its_model is not whole
            ]
            slip = difflib.get_close_matches(key, _keys(model), n=1, cutoff=0.85)
            if owners and not slip:
                *others, last = owners
                which = f"{', '.join(others)} or {last}" if others else last
                return f"{key!r} is no key of {table}: it belongs below {which}"
            return f"unknown key {key!r} in {table}{did_you_mean(key, _keys(model))}"
        case "missing":
            example = _EXAMPLES.get(f"{table} {key}") or _EXAMPLES.get(key, "")
            return f"{table} has no {key!r}{example and f': write {example}'}"
        case "too_short":
            return f"{key!r} is empty: it needs at least one entry"
        case "too_long":
            count, most = context["actual_length"], context["max_length"]
            if key in ("root", "endpoints"):
                return (
                    f"{count} {key.removesuffix('s')}s are too many: at most {most}, or nodes "
                    "throw the whole World away"
                )
            return f"{key!r} has {count} entries, and at most {most} are of use"
        case "literal_error":
            return f"{key!r} is {context['expected'].replace(chr(39), chr(34))}"
        case "greater_than_equal":
            return f"{key!r} is at least {context['ge']}"
        case "less_than_equal":
            return f"{key!r} is at most {context['le']}"
        case "bool_type":
            return f"{key!r} is true or false, without quotes"
        case "int_type":
            return f"{key!r} is a whole number, without quotes"
        case "list_type":
            wanted = f"[[{'.'.join(p for p in (*_names(location),))}]]"
            return (
                f"{key!r} is a list: write {_EXAMPLES[key]}"
                if key in _EXAMPLES
                else f"{key!r} is written as {wanted}, with its keys below"
            )
        case "model_type":
            return f"{_names(location)[-1]!r} is a table: write its keys below a line [[…]] or […]"
        case _:
            message = detail["msg"]
            return f"{key!r}: {message[:1].lower()}{message[1:]}"


def _keys(model: type[BaseModel]) -> list[str]:
    return [about.alias or name for name, about in model.model_fields.items()]


def _names(location: tuple[str | int, ...]) -> list[str]:
    return [part for part in location if isinstance(part, str)]


_EXAMPLES = {
    "name": 'name = "home"',
    "kind": 'kind = "planet"',
    "id": 'id = "8056c2e21c000001"',
    "identity": 'identity = "…" with the text of the root\'s identity.public',
    "[[world.root]] name": 'name = "root-1"',
    "[[host]] name": 'name = "root-2"',
    "endpoints": 'endpoints = ["203.0.113.7:9993"]',
    "listen": 'listen = ["0.0.0.0:9993", "[::]:9993"]',
    "without_asking": 'without_asking = ["add-endpoint", "add-root"]',
    "cohorts": 'cohorts = ["1%", "10%", "100%"]',
    "servers": 'servers = ["9.9.9.9"]',
    "worlds": 'worlds = ["home"] with names of Worlds',
    "to": 'to = "/srv/backups"',
    "recipients": 'recipients = ["age1…"] with the public keys that open a backup',
}
