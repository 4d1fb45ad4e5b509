"""Where names come from. Entropy is an argument, so that a simulation can give its own."""

import uuid
from collections.abc import Callable


class RandomIds:
    """Ids of the wire: a prefix and upper-case hex. ``entropy(n)`` gives ``n`` random bytes.

    Session ids and tokens allow somebody to act, so they cannot be guessed (96 and 192
    bits); the others only must not collide.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy

    def session(self) -> str:
        """A new session id, ``s-`` and 24 digits."""
        return f"s-{self._entropy(12).hex().upper()}"

    def node(self) -> str:
        """A new node id, ``node-`` and 16 digits."""
        return f"node-{self._entropy(8).hex().upper()}"

    def job(self) -> str:
        """A new job id, ``job-`` and 16 digits."""
        return f"job-{self._entropy(8).hex().upper()}"

    def token(self) -> str:
        """A new resume token, 48 digits."""
        return self._entropy(24).hex()

    def trace(self) -> str:
        """A new trace id: a UUID of version 4."""
        return str(uuid.UUID(bytes=self._entropy(16), version=4))
