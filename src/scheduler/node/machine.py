"""This machine as a node tells of it: its processors and memory, and how busy they are.

Source of the figures: proc(5), ``/proc/stat`` and ``/proc/meminfo``. Reading them takes
some ten microseconds and never waits for a disk.
"""

import os
from pathlib import Path

import attrs

from scheduler.wire.common import Hardware

PROC = Path("/proc")


def hardware() -> Hardware:
    """How many processors, and how much memory in GB."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Hardware(cpu_cores=os.cpu_count() or 1, memory_gb=round(memory_bytes / 2**30, 1))


@attrs.frozen
class Busy:
    """Percentages, 0 to 100, of all processors and of all memory."""

    cpu_percent: float = 0.0
    mem_percent: float = 0.0


class Meter:
    """Measures from one :meth:`read` to the next; zeros where the system tells nothing."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._last = self._ticks()

    def read(self) -> Busy:
        """How busy the processors were since the last call, and the memory is now."""
        last, self._last = self._last, self._ticks()
        busy, total = (now - before for now, before in zip(self._last, last, strict=True))
        return Busy(_percent(busy, total), self._memory())

    def _ticks(self) -> tuple[int, int]:
        """Clock ticks of all processors since the start: the busy ones, and all."""
        try:
            line = (self._proc / "stat").read_text().partition("\n")[0]
            ticks = [int(word) for word in line.split()[1:9]]
            idle = ticks[3] + ticks[4]  # idle, and waiting for input and output
        except (OSError, ValueError, IndexError):
            return 0, 0
        return sum(ticks) - idle, sum(ticks)

    def _memory(self) -> float:
        try:
            words = (self._proc / "meminfo").read_text().split()
            total = int(words[words.index("MemTotal:") + 1])
            available = int(words[words.index("MemAvailable:") + 1])
        except (OSError, ValueError, IndexError):
            return 0.0
        return _percent(total - available, total)


def _percent(part: int, whole: int) -> float:
    return round(100 * min(max(part / whole, 0.0), 1.0), 1) if whole > 0 else 0.0
