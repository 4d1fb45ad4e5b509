"""The speech that is sent: random base64, the same for all, so that it is masked only once."""

import base64
import random
from functools import cache


@cache
def field(name: str, chars: int) -> bytes:
    """The last field of a message with ``chars`` characters of base64, and the closing brace."""
    noise = random.Random(chars).randbytes(chars * 3 // 4)  # noqa: S311  # not for secrets
    audio = base64.b64encode(noise).decode()[:chars]
    return f'"{name}":"{audio}"}}'.encode()
