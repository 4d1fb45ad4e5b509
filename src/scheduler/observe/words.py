"""How times and lists are said to people."""

from collections.abc import Iterable

DAY_MS = 24 * 60 * 60 * 1000


def seconds(duration_ms: int) -> str:
    """A duration: ``0.73 s``, ``31.2 s``. Two digits behind the point below ten seconds."""
    return f"{duration_ms / 1000:.{2 if abs(duration_ms) < 10_000 else 1}f} s"


def clock(unix_ms: int) -> str:
    """An instant of the day: ``01:59:04 UTC``."""
    minutes, second = divmod(unix_ms % DAY_MS // 1000, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02} UTC"


def listed(parts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def sentence(text: str) -> str:
    """With a capital letter in front and a full stop behind."""
    return f"{text[:1].upper()}{text[1:]}."
