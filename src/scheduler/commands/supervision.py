"""Telling systemd how the scheduler is: ready, draining, and still alive.

The protocol is that of sd_notify(3): datagrams to the socket that ``NOTIFY_SOCKET`` names.
Without that variable nobody asked, and nothing is sent.
"""

import os
import socket
from collections.abc import Mapping

import trio


class Supervision:
    """What is said to the service manager. ``environment`` is that of the process."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watchdog = environment.get("WATCHDOG_USEC", "")
        self.watchdog_interval = int(watchdog) / 1_000_000 / 2 if watchdog.isdigit() else None
        """Seconds between two signs of life: half of what the service manager waits for."""

    def say(self, *assignments: str) -> None:
        """Send ``NAME=value`` lines. A manager that cannot be reached is no reason to fail."""
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # the abstract namespace
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto("\n".join(assignments).encode(), address)
            except OSError:
                return

    async def feed_watchdog(self) -> None:
        """Give signs of life until cancelled, from the loop in which every event is applied.

        A step that does not end, or a loop that is stuck, cannot give one.
        """
        if self.watchdog_interval is None:
            return
        while True:
            self.say("WATCHDOG=1")
            await trio.sleep(self.watchdog_interval)
