"""JSON of other people's tools, checked against a model, with mistakes in words."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orrery.errors import DecodeError
from orrery.worlds.formats.mistakes import Mistakes

MOST_ROOTS = 64
MOST_ENDPOINTS = 256
"""Far more than a node reads, so that too many can be counted and told."""

Text = Annotated[str, Field(max_length=512)]
"""An identity with its private key has 270 characters; nothing else in these files is longer."""

_Model = TypeVar("_Model", bound="JsonModel")
_LISTS = {
    "roots": "root",
    "rootNodes": "root",
    "stableEndpoints": "endpoint",
    "stable_endpoints": "endpoint",
    "endpoints": "endpoint",
    "signing": "signing key file",
}
_WANTED = {
    "missing": "is missing",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number without quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list in square brackets",
    "dict_type": "must be an object in curly brackets",
    "model_type": "must be an object in curly brackets",
    "model_attributes_type": "must be an object in curly brackets",
    "too_long": "is longer than any that a tool reads",
    "too_short": "is shorter than the tool needs",
    "string_too_long": "is a longer text than can stand there",
    "greater_than_equal": "must not be negative",
    "less_than_equal": "must fit 64 bits",
    "less_than": "must fit 64 bits",
}


class JsonModel(BaseModel):
    """Types are taken at their word; keys that a fork has added are passed over."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=False
    )


def validate(model: type[_Model], value: Any) -> _Model:
    """Take JSON for what the model describes.

    Raises:
        DecodeError: a line for each mistake, with its place: `root 2, endpoint 3`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        mistakes = Mistakes()
        told = set()
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            place, name = _place(detail["loc"])
            if (place, name) not in told:  # a union tells of each of its members
                told.add((place, name))
                wanted = _WANTED.get(detail["type"], "is not what belongs there")
                mistakes.add(place, f"{name} {wanted}")
        mistakes.check()
        raise DecodeError("this JSON is not what its keys promise") from None


def _place(location: tuple[int | str, ...]) -> tuple[str, str]:
    """Where something stands, and what it is called there."""
    places: list[str] = []
    name = "this"
    inside = "root"  # a bare list at the top is one of roots
    for step in location:
        if isinstance(step, int):
            places.append(f"{inside} {step + 1}")
            name = "this"
        elif step in _LISTS:
            inside, name = _LISTS[step], f'"{step}"'
        elif step not in ("str", "int"):  # which member of a union was tried
            name = f'"{step}"'
    place = ", ".join(places)
    return ("", place or "the file") if name == "this" else (place, name)
