"""One Hypothesis profile: the same examples in every run, and no clock in the verdict."""

import os

from hypothesis import settings

settings.register_profile("project", derandomize=True, deadline=None, database=None)
settings.load_profile("project")

# The schedulers that tests start as processes keep nothing, unless a test names a file.
os.environ["SCHEDULER_JOURNAL"] = "memory"
