"""Recognised words made fit for translation: numbers as digits, courtesy words set apart."""

import re

from scheduler.errors import EngineUnavailable
from scheduler.node.installed import missing_modules, version_of
from scheduler.wire.common import ServiceType

NUMBER_LANGUAGES = frozenset({"de", "en", "es", "fr", "it", "nl", "pt"})
"""What text2num knows."""

PLEASE = {"ca": "si us plau", "eo": "bonvolu", "es": "por favor", "gl": "por favor"}
"""What the English word becomes; a translator that works word by word takes it for the verb."""

_PLEASE = re.compile(r"^please\b[\s,]*|[\s,]*\bplease(?=[.!?]*$)", re.IGNORECASE)


def split_please(text: str) -> tuple[str, bool]:
    """English ``text`` without a "please" at its start or end, and whether there was one.

    A text that is nothing else stays as it is.
    """
    rest, found = _PLEASE.subn("", text.strip())
    if not found or not rest.strip(" ,.!?"):
        return text, False
    return rest.strip(), True


def append_please(text: str, language: str) -> str:
    """``text`` with its courtesy word before the final punctuation."""
    body = text.rstrip(".!? ")
    return f"{body}, {PLEASE[language]}{text.rstrip()[len(body) :]}"


class Numbers:
    """The repairer: "two hundred and five" becomes "205" (text2num, MIT)."""

    service_id = "text2num"
    type: ServiceType | None = None

    def __init__(self) -> None:
        self.version = version_of("text2num")
        self.fault: EngineUnavailable | None = missing_modules("text_to_num")

    async def probe(self) -> None:
        """Look again whether the module is there."""
        self.fault = missing_modules("text_to_num")

    async def repair(self, text: str, language: str) -> str:
        """See :class:`~scheduler.node.services.Repairer`. Takes far less than a millisecond."""
        if language not in NUMBER_LANGUAGES:
            return text
        from text_to_num import alpha2digit

        repaired: str = alpha2digit(text, language)
        return repaired
