"""Recordings of people who speak, from Debian's package pocketsphinx-testdata."""

from pathlib import Path

import pytest

RECORDINGS = Path("/usr/share/pocketsphinx/test/data")
RATE_HZ = 16_000

needs_recordings = pytest.mark.skipif(
    not (RECORDINGS / "goforward.raw").is_file(),
    reason="the Debian package pocketsphinx-testdata is not installed",
)


def recording(name: str) -> bytes:
    """The samples of one recording: 16 bits, little endian, mono, 16000 per second."""
    data = (RECORDINGS / name).read_bytes()
    return data[44:] if name.endswith(".wav") else data
