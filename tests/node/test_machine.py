"""What a node tells of its machine: measured figures, or zeros, never an error."""

from pathlib import Path

import pytest

from scheduler.node.machine import Busy, Meter, hardware

MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\n"


def write_proc(proc: Path, *ticks: int, meminfo: str = MEMINFO) -> None:
    """``ticks``: user, nice, system, idle, iowait, irq, softirq, steal."""
    cpu = " ".join(map(str, ticks))
    (proc / "stat").write_text(f"cpu  {cpu} 0 0\ncpu0 {cpu} 0 0\nintr 12\n")
    (proc / "meminfo").write_text(meminfo)


def test_the_processors_are_measured_between_two_looks(tmp_path: Path) -> None:
    """Busy is what was neither idle nor waiting for input and output, since the look before."""
    write_proc(tmp_path, 100, 0, 100, 1000, 0, 0, 0, 0)
    meter = Meter(tmp_path)
    write_proc(tmp_path, 120, 0, 110, 1060, 10, 0, 0, 0)
    assert meter.read() == Busy(cpu_percent=30.0, mem_percent=75.0)
    write_proc(tmp_path, 220, 0, 110, 1060, 10, 0, 0, 0)
    assert meter.read().cpu_percent == 100.0
    assert meter.read().cpu_percent == 0.0


@pytest.mark.parametrize("meminfo", ["", "MemTotal: 1000 kB\n", "MemTotal: x kB\nMemAvailable: 1"])
def test_what_the_system_does_not_tell_is_zero(meminfo: str, tmp_path: Path) -> None:
    """Without the files, or with others than expected, there are no figures and no error."""
    assert Meter(tmp_path).read() == Busy()
    write_proc(tmp_path, meminfo=meminfo)
    assert Meter(tmp_path).read() == Busy()


def test_this_machine_has_figures() -> None:
    """On Linux the figures of the machine that runs the test are percentages."""
    busy = Meter().read()
    assert 0 <= busy.cpu_percent <= 100
    assert 0 < busy.mem_percent < 100
    assert hardware().cpu_cores >= 1
    assert hardware().memory_gb > 0
