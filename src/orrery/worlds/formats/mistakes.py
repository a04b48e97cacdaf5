"""Mistakes in a text, gathered so that a person hears of all of them at once."""

from orrery.errors import DecodeError

_MOST_TOLD = 8


class Mistakes:
    """Sentences, each with the position that it is about."""

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def add(self, place: str, sentence: object) -> None:
        """Note a mistake.

        Args:
            place: such as `root 2, endpoint 3`; empty for the whole file.
            sentence: what is wrong and how to mend it.
        """
        self._sentences.append(f"{place}: {sentence}" if place else str(sentence))

    def check(self) -> None:
        """Raise when there were any.

        Raises:
            DecodeError: one line for each mistake.
        """
        if not self._sentences:
            return
        told = self._sentences[:_MOST_TOLD]
        if len(self._sentences) > _MOST_TOLD:
            told.append(f"and {len(self._sentences) - _MOST_TOLD} more mistakes")
        raise DecodeError("\n".join(told))
