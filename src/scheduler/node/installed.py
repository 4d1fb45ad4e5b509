"""What is installed: Python modules and their versions, and the hints for what is not."""

import importlib.util
from importlib import metadata

from scheduler.errors import EngineUnavailable

EXTRA_HINT = "pip install 'lingua-scheduler[node]'"


def missing_modules(*names: str) -> EngineUnavailable | None:
    """Why an engine that needs these modules cannot run; None if all are there."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return EngineUnavailable(f"not installed: {', '.join(missing)}", EXTRA_HINT)


def version_of(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
