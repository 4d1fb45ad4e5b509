"""What the scheduler costs, measured beside something: ``python -m benchmarks``."""
