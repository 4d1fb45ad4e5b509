"""Scheduler, nodes and clients as processes, and somebody who kills them at random.

    python -m crash.rig --kills 200 --seed 1      (with tests/ on the path; see nox -s crash)

Prints what was killed and what the clients have in the end; exits with 1 if a promise was
broken. The order of kills comes from the seed; what they hit is up to the machine.
"""

import argparse
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import attrs
from crash.referee import lines, violations

HERE = Path(__file__).parent
CLIENTS, NODES, SLOTS = 4, 2, 4
KILLED = ("scheduler", "scheduler", "scheduler", "node", "client")
LIFE_MAX_S = 0.8
PATIENCE_S = 120.0


def free_port() -> int:
    """A port that nobody listens on right now.

    Not one from which the system lets connections begin: a client that dials a port without a
    listener again and again may get that very port for its own end, and talk to itself.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@attrs.define(eq=False)
class Rig:
    """The processes by name; ``kill`` starts each again at once, as a supervisor would."""

    place: Path
    journal: str = ""
    port: int = attrs.Factory(free_port)
    processes: dict[str, subprocess.Popen[bytes]] = attrs.Factory(dict)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def logs(self) -> list[Path]:
        return [self.place / f"client-{number}.log" for number in range(CLIENTS)]

    def command(self, name: str) -> list[str]:
        kind, _, number = name.partition("-")
        if kind == "node":
            return [str(HERE / "node.py"), self.url, f"node-{number}", str(SLOTS)]
        if kind == "client":
            return [str(HERE / "client.py"), self.url, str(self.place / f"{name}.log")]
        # However long a loaded machine takes to start processes, waiting is no failure here.
        return ["-m", "scheduler", "--port", str(self.port), "--log-level", "error",
                "--pending-timeout", "60",
                "--journal", self.journal or str(self.place / "journal.sqlite3")]  # fmt: skip

    def start(self, name: str) -> None:
        errors = (self.place / f"{name}.err").open("ab")
        with errors:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *self.command(name)], stdout=errors, stderr=errors
            )

    def start_all(self) -> None:
        names = [f"client-{n}" for n in range(CLIENTS)] + [f"node-{n}" for n in range(NODES)]
        for name in ["scheduler", *names]:
            self.start(name)

    def kill(self, name: str) -> None:
        """Kill with the signal that nobody can catch, and start again."""
        process = self.processes[name]
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.start(name)

    def clients_running(self) -> bool:
        return any(
            process.poll() is None
            for name, process in self.processes.items()
            if name.startswith("client")
        )

    def finish(self, patience_s: float = PATIENCE_S) -> None:
        """Let the clients wait for what is open, as long as that makes progress; end all."""
        (self.place / "stop").touch()
        last, until = self.progress(), time.monotonic() + patience_s  # noqa: TID251
        while self.clients_running() and time.monotonic() < until:  # noqa: TID251
            time.sleep(0.05)
            if (now := self.progress()) > last:
                last, until = now, time.monotonic() + patience_s  # noqa: TID251
        self.end()

    def violations(self) -> list[str]:
        return [text for log in self.logs for text in violations(log)]

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def wait_for_outcomes(self, more: int) -> None:
        """Let some outcomes arrive, so that every life of a process does some work."""
        goal, until = self.progress() + more, time.monotonic() + PATIENCE_S  # noqa: TID251
        while self.progress() < goal:
            if time.monotonic() >= until:  # noqa: TID251
                raise AssertionError(f"no outcome comes any more: {self.state()}")
            time.sleep(0.02)

    def state(self) -> dict[str, str]:
        """Of each process whether it runs, and what it said last."""
        return {
            name: f"{process.poll()} {(self.place / f'{name}.err').read_text()[-500:]}"
            for name, process in self.processes.items()
        }

    def progress(self) -> int:
        return sum(
            line["what"] == "outcome" for log in self.logs if log.exists() for line in lines(log)
        )


def torment(rig: Rig, kills: int, dice: random.Random, *, say: bool = False) -> Counter[str]:
    """Kill ``kills`` processes, each after some outcomes came since the last one."""
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        rig.wait_for_outcomes(1)
        time.sleep(dice.uniform(0, LIFE_MAX_S))
        kind = dice.choice(KILLED)
        number = dice.randrange(NODES if kind == "node" else CLIENTS)
        rig.kill(kind if kind == "scheduler" else f"{kind}-{number}")
        killed[kind] += 1
        if say and killed.total() % 20 == 0:
            print(f"{killed.total()} kills, {rig.progress()} outcomes", flush=True)
    return killed


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        begun = time.monotonic()  # noqa: TID251
        rig = Rig(Path(place))
        rig.start_all()
        try:
            killed = torment(rig, wish.kills, random.Random(wish.seed), say=True)
            rig.finish()
        finally:
            rig.end()
        broken, outcomes = rig.violations(), rig.progress()
        seconds = time.monotonic() - begun  # noqa: TID251
        errors = {p.name: p.read_text()[-2000:] for p in Path(place).glob("*.err")}
    kinds = ", ".join(f"{count} {kind}s" for kind, count in sorted(killed.items()))
    print(f"killed {kinds} in {seconds:.0f} s; {outcomes} outcomes for {CLIENTS} clients")
    for text in broken:
        print(f"BROKEN: {text}")
    if broken:
        print("\n".join(f"{name}: {text}" for name, text in errors.items() if text))
    else:
        print("every accepted utterance has one outcome, received once, in order, and its own")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
