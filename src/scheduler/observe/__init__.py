"""What the record tells: timelines, verdicts, metrics.

Nothing here decides or remembers anything. The record of a job is its story in the core; all
of this is made from the plain data that the snapshot shows, and from the facts that the
engine notes:

* ``timeline``: the story as lines with offsets;
* ``verdict``: what became of a job and why, in one or two sentences and a word;
* ``trace``: both, for everything that is known under one id;
* ``metrics``: numbers for Prometheus, with labels that are bounded (``labels``);
* ``routes``: what of it HTTP can ask for.
"""
