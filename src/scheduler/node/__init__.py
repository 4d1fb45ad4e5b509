"""The node: an agent that dials out, and the engines that do the work.

* ``agent`` keeps the connection, the jobs and the results;
* ``services`` says what an engine is, ``engines`` holds the embedded ones;
* ``pipeline`` leads one utterance through them.
"""
