"""What every test may rely on: the same examples in every run, and nothing left by the others."""

import os
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

settings.register_profile("project", derandomize=True, deadline=None, database=None)
settings.load_profile("project")

# The schedulers that tests start as processes keep nothing, unless a test names a file.
os.environ["SCHEDULER_JOURNAL"] = "memory"


@pytest.fixture(autouse=True)
def fresh_logs() -> Iterator[None]:
    """A test that runs the command line configures the logs of the whole process.

    Loggers keep what they found when they were first used, so that has to be forgotten too.
    """
    yield
    structlog.reset_defaults()
    for name, module in list(sys.modules.items()):
        if name.startswith("scheduler."):
            for logger in (getattr(module, "log", None), getattr(module, "_log", None)):
                getattr(logger, "__dict__", {}).pop("bind", None)
