"""The embedded engines, one per file; ``embedded`` is the one place that knows which there are."""
