"""Prints which property caught which mutant."""

from __future__ import annotations

import pytest
from mutants.caught import CAUGHT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not CAUGHT:
        return
    terminalreporter.section("mutants and what caught them")
    for catch in sorted(CAUGHT, key=lambda c: c.mutant.number):
        terminalreporter.write_line(f"{catch.mutant.number:3}  {catch.mutant.mistake}")
        terminalreporter.write_line(f"     caught by {', '.join(catch.properties)}")
        terminalreporter.write_line(f"     in {catch.world!r}, world {catch.worlds} of the search")
