"""What another process needs to go on with a session."""

import attrs

from scheduler.wire.common import Resume


@attrs.frozen(kw_only=True)
class Resumption:
    """How to go on with a session: plain data, to be kept wherever you like.

    ``resume_token`` is a secret. ``last_seq`` is the last outcome that was acknowledged;
    ``next_index`` is the first index that no utterance has. Submitting is synchronous, and
    nothing is sent before the next ``await``: whoever keeps the resumption between the two
    never uses an index twice.

    Of an utterance that was submitted and has no ``job_id`` yet it is not known whether the
    scheduler accepted it; another process can only wait for its outcome, or submit it anew.
    """

    session_id: str
    resume_token: str = attrs.field(repr=False)
    last_seq: int
    next_index: int

    @property
    def request(self) -> Resume:
        """The same, as a hello says it."""
        return Resume(
            session_id=self.session_id, resume_token=self.resume_token, last_seq=self.last_seq
        )
