"""The cases, each a module with ``run(options) -> Result``."""
