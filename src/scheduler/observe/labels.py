"""Words that may be labels of a metric: few, and never ids, addresses or what people said.

Every different value of a label is a time series that is kept for ever. So each word is one
of a known list, or ``other``; language pairs, which nobody can list, are bounded in number.
"""

import re
from collections.abc import Collection

from scheduler.core.job import OutcomeKind
from scheduler.errors import Close, Code

OTHER = "other"
CODES = frozenset(str(code) for code in Code)
OUTCOMES = frozenset(str(kind) for kind in OutcomeKind)
CLOSES = {close.text: close.name.lower() for close in Close}
LOSSES = frozenset({
    "failed", "node_left", "node_restarted", "no_receipt", "scheduler_restarted",
})  # fmt: skip
STAGES = ("asr", "nmt", "tts")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}|auto")


def one_of(word: object, known: Collection[str]) -> str:
    """The word itself if it is known."""
    return str(word) if str(word) in known else OTHER


class Pairs:
    """Language pairs as labels: the first ``most`` that were seen, the rest is ``other``.

    ``en→es + es→en`` becomes ``en-es+es-en``. Words that are no language tags are never a
    label, since a client may send anything as a language.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.seen: dict[str, str] = {}

    def label(self, need: str) -> str:
        """The label of a need."""
        if (known := self.seen.get(need)) is not None:
            return known
        pairs = [tuple(pair.split("→")) for pair in need.split(" + ")]
        proper = all(len(pair) == 2 and all(map(_LANGUAGE.fullmatch, pair)) for pair in pairs)
        if not proper or len(pairs) > 2 or len(self.seen) >= self._most:
            return OTHER
        self.seen[need] = "+".join("-".join(pair) for pair in pairs)
        return self.seen[need]
