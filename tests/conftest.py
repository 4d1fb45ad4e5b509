"""One Hypothesis profile: the same examples in every run, and no clock in the verdict."""

from hypothesis import settings

settings.register_profile("project", derandomize=True, deadline=None, database=None)
settings.load_profile("project")
