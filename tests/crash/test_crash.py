"""What is accepted survives: processes are killed with the signal that nobody can catch."""

import random
from pathlib import Path

from crash.rig import Rig, torment


def test_nothing_accepted_is_lost_by_kills(tmp_path: Path) -> None:
    """Scheduler, nodes and clients are killed; each utterance has one outcome, received once."""
    rig = Rig(tmp_path)
    rig.start_all()
    try:
        torment(rig, 4, random.Random(4))
        rig.finish()
    finally:
        rig.end()
    assert rig.violations() == []


def test_the_rig_notices_what_is_lost(tmp_path: Path) -> None:
    """With a journal that is only memory the same rig finds what a kill destroys."""
    rig = Rig(tmp_path, journal="memory")
    rig.start_all()
    try:
        rig.wait_for_outcomes(1)
        rig.kill("scheduler")
        rig.finish(patience_s=3.0)
    finally:
        rig.end()
    assert any("the session was lost" in text for text in rig.violations())
