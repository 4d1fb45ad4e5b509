"""W3C trace context: which distributed trace an utterance belongs to.

The ids of spans follow from the job, so that nobody has to keep them: the node is told the
span of its attempt before anybody has made that span. Source: W3C Recommendation "Trace
Context", 2021, section 3.2.
"""

import hashlib
import re

import attrs

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 1
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


@attrs.frozen
class TraceContext:
    """A place in a trace, in hexadecimal digits. ``span_id`` is empty at the beginning of one."""

    trace_id: str
    span_id: str = ""
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """As it is said to the next one."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def at(self, span_id: str) -> "TraceContext":
        """Another place in the same trace."""
        return attrs.evolve(self, span_id=span_id)


def parse(traceparent: str | None) -> TraceContext | None:
    """What a client said; None if it said nothing that can be understood."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return None
    return TraceContext(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))


def context_of(job_id: str, traceparent: str | None) -> TraceContext:
    """Where an utterance begins: below the client's span, or in a trace of its own."""
    return parse(traceparent) or TraceContext(_digits(job_id, "trace", 16))


def span_id(job_id: str, name: str) -> str:
    """The id of one span of a job, for example that of ``attempt 2``."""
    return _digits(job_id, name, 8)


def _digits(job_id: str, name: str, size: int) -> str:
    return hashlib.blake2b(f"{job_id} {name}".encode(), digest_size=size).hexdigest()
