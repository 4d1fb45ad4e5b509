"""Numbers about numbers: quantiles, ratios of one round, and their spread over rounds."""

import statistics
from collections.abc import Sequence

import attrs


def quantile(values: Sequence[float], part: float) -> float:
    """The value before which ``part`` of all stand when they are in order; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@attrs.frozen
class Spread:
    """One figure over several rounds: the median, and between what it lay."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        median, least, most = (_figure(value) for value in (self.median, self.least, self.most))
        return f"{median} ({least} to {most})"


def _figure(value: float) -> str:
    """Three digits, or all before the point if there are more."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(values: Sequence[float]) -> Spread:
    """The median and the range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], reference: Sequence[float]) -> Spread:
    """Ours by the reference, each pair measured in the same round."""
    return spread([a / b for a, b in zip(ours, reference, strict=True)])
