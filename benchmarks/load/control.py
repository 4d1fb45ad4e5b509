"""How a load process is told what to do: one JSON object a line, each answered by one line."""

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.load.loop import Loop

Answer = dict[str, Any]
Command = Callable[..., None]


class Control:
    """Reads commands from standard input; :meth:`answer` says how the last one went."""

    def __init__(self, loop: Loop, commands: dict[str, Command]) -> None:
        self._loop = loop
        self._commands = commands
        self._line = b""
        loop.watch(0, self._ready)

    def answer(self, **content: Any) -> None:
        """End the present command; ``cpu_s`` is what this process has used so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        content["cpu_s"] = used.ru_utime + used.ru_stime
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()

    def _ready(self, _: int) -> None:
        data = os.read(0, 2**16)
        if not data:
            self._loop.stop()
            return
        self._line += data
        while b"\n" in self._line:
            line, self._line = self._line.split(b"\n", 1)
            command = json.loads(line)
            self._commands[command.pop("do")](**command)
