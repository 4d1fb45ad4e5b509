"""Words that may be labels of a metric: few, and never ids, addresses or what people said.

Every different value of a label is a time series that is kept for ever. So each word is one
of a known list, or ``other``; language pairs, which nobody can list, are bounded in number, and
those that are real come before those that somebody made up.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping

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
_LANGUAGE = r"(?:[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}|auto)"
_PAIR = re.compile(f"{_LANGUAGE}-{_LANGUAGE}")
ASKED_MAX = 8
"""Pairs that were asked for, that nobody has served yet, and that have a name all the same."""


def one_of(word: object, known: Collection[str]) -> str:
    """The word itself if it is known."""
    return str(word) if str(word) in known else OTHER


def pair_label(need: str) -> str | None:
    """``en→es + es→en`` becomes ``en-es+es-en``; None if these are no one or two language pairs."""
    pairs = need.replace("→", "-").split(" + ")
    proper = len(pairs) <= 2 and all(map(_PAIR.fullmatch, pairs))
    return "+".join(pairs) if proper else None


class Pairs:
    """Language pairs as labels, in three ranks, so that no client can use them up.

    * *expected*: the operator named them. They always have a label.
    * *served*: a job of theirs was on a node, or a node can do it. The ``most`` of them that were
      served last have labels.
    * *asked for*: anybody can invent one. :data:`ASKED_MAX` of them have labels, and at each
      scrape those with the most waiting jobs: with no node at all, that is the demand.

    The rest is ``other``. Words that are no language tags are never a label. ``dropped`` is told
    each label that is given up.
    """

    def __init__(
        self,
        most: int,
        expected: Collection[str] = (),
        dropped: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._most = most
        self._expected = dict.fromkeys(expected)
        self._served: OrderedDict[str, None] = OrderedDict()
        self._asked: dict[str, None] = {}
        self._busy: Collection[str] = ()
        self._dropped = dropped

    @property
    def named(self) -> list[str]:
        """Every label there is now, besides ``other``."""
        return [*self._expected, *self._served, *self._asked]

    def label(self, need: str) -> str:
        """The label of a need that somebody asked for."""
        word = pair_label(need)
        if word is None:
            return OTHER
        if word not in self._expected and word not in self._served and word not in self._asked:
            if len(self._asked) >= ASKED_MAX:
                return OTHER
            self._asked[word] = None
        return word

    def served(self, need: str) -> None:
        """A node has, or can do, a job of this need: it is no invention."""
        word = pair_label(need)
        if word is None or word in self._expected:
            return
        if word not in self._served and len(self._served) >= self._most:
            idle = next((old for old in self._served if old not in self._busy), None)
            if idle is None:
                return
            del self._served[idle]
            self._dropped(idle)
        self._asked.pop(word, None)
        self._served[word] = None
        self._served.move_to_end(word)

    def arrange(self, waiting: Mapping[str, int], served: Collection[str]) -> None:
        """Before a scrape: how many jobs wait by need, and which needs with jobs are served."""
        self._busy = {word for need in served if (word := pair_label(need)) is not None}
        for need in served:
            self.served(need)
        asked = Counter(dict.fromkeys(self._asked, 0))
        for need, number in waiting.items():
            word = pair_label(need)
            if word is not None and word not in self._expected and word not in self._served:
                asked[word] += number
        ranked = sorted(asked, key=lambda word: (-asked[word], word not in self._asked, word))
        before, self._asked = self._asked, dict.fromkeys(ranked[:ASKED_MAX])
        for word in before.keys() - self._asked.keys():
            self._dropped(word)
