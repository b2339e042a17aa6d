"""Why something failed or is odd, as the log keeps it: a code with its figures, worded when somebody reads it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from altegio_loyalty.redaction import clean

_BEGIN = '{"code": "'
WORKER_STOPPED, NOT_IN_TIME = "worker_stopped", "not_in_time"
BEYOND_THE_LOG, LESS_THAN_THE_LOG = "beyond_the_log", "less_than_the_log"
STILL_SHOWN, NOT_SHOWN_YET = "still_shown", "not_shown_yet"
SWITCHED_OFF, DAY_NOT_OVER = "switched_off", "day_not_over"
VISITS_NOT_READ, LIST_NOT_READ, TO_BE_CONTINUED = "visits_not_read", "list_not_read", "to_be_continued"
LIST_UNREADABLE = "list_unreadable"


@dataclass(frozen=True)
class Reason:
    """`said` is what Altegio, or our client, said in its own words; `detail` is what a developer wants to know beside it."""

    code: str
    figures: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    detail: str = ""

    def stored(self, limit: int = 500) -> str:
        """For a column of so many characters: where it is too long, the end of what was said or of the detail is lost."""
        texts = {"said": clean(self.said, limit), "detail": clean(self.detail, limit)}
        while True:
            told = {name: text for name, text in texts.items() if text}
            text = json.dumps({"code": self.code, **self.figures, **told}, ensure_ascii=False)
            if len(text) <= limit or not told:
                return text
            longest = max(told, key=lambda name: len(told[name]))
            texts[longest] = told[longest][: -max(1, (len(text) - limit) // 2)]

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for a sentence, as earlier releases kept them, and as a person writes one."""
        if not text.startswith(_BEGIN):
            return None
        try:
            kept = {str(name): str(value) for name, value in json.loads(text).items()}
        except ValueError:
            return None
        return cls(kept.pop("code"), said=kept.pop("said", ""), detail=kept.pop("detail", ""), figures=kept)
