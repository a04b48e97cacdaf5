"""Progress: what a rollout has done so far, and what it was about to do when it was stored last.

The JSON form, which the store keeps beside the state:

    {
      "revisions": [1790000000000, 1790000100000],   what the plan starts from, then each step's
      "signing_ms": 0,        timestamp given out for the revision to be signed now; 0 for none
      "opened_ms": 0,         when the last cohort was opened
      "complete_ms": 0,       since when the cohort has the revision; 0 while it has not
      "clock_ms": 0,          the latest time at which anything was decided
      "forgiven_ms": 0,       nodes that adopted before it are not judged any more
      "back_ms": 0,           timestamp of the revision that takes the step back; 0 for none
      "rolling_back": false
    }
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

from orrery.errors import DecodeError
from orrery.rollout.fields import Fields, read_flag, read_list, read_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rollout is; all times are those of the wall clock.

    Attributes:
        revisions: timestamps: of the revision that the plan starts from, and of each step that is
            published.
        signing_ms: the timestamp that was given out for the revision to be signed next, 0 for none.
        opened_ms: when the cohort that is open last was opened.
        complete_ms: since when enough of it have the revision, 0 while they have not.
        clock_ms: the latest time at which anything was decided: a clock behind it was set back.
        forgiven_ms: nodes that took the revision before it are not judged any more, because
            somebody has looked and said to go on.
        back_ms: the revision that takes the step back, 0 as long as there is none.
        rolling_back: whether the step is to be taken back.
    """

    revisions: tuple[int, ...]
    signing_ms: int = 0
    opened_ms: int = 0
    complete_ms: int = 0
    clock_ms: int = 0
    forgiven_ms: int = 0
    back_ms: int = 0
    rolling_back: bool = False

    @property
    def newest_ms(self) -> int:
        """The revision that must be the newest of the chain."""
        return self.back_ms or self.revisions[-1]

    def has_published(self, step: int) -> bool:
        """Whether the revision of a step is published; steps count from 0, as in the store."""
        return len(self.revisions) > step + 1

    def to_json(self) -> str:
        """The form above."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read that form.

        Raises:
            DecodeError: it is something else.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise DecodeError(f"the progress of a rollout is no JSON: {error}") from None
        with Fields(data, "the progress of a rollout") as fields:
            progress = cls(
                revisions=fields.take("revisions", read_list(read_number)),
                signing_ms=fields.take("signing_ms", read_number),
                opened_ms=fields.take("opened_ms", read_number),
                complete_ms=fields.take("complete_ms", read_number),
                clock_ms=fields.take("clock_ms", read_number),
                forgiven_ms=fields.take("forgiven_ms", read_number),
                back_ms=fields.take("back_ms", read_number),
                rolling_back=fields.take("rolling_back", read_flag),
            )
        if not progress.revisions:
            raise DecodeError("the progress of a rollout starts from no revision")
        return progress
