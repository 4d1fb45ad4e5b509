"""The node: an agent that dials out, and the engines that do the work.

* ``agent`` keeps the connection, ``jobs`` what runs, ``results`` what is not receipted yet;
* ``services`` says what an engine is, ``engines`` holds the embedded ones, ``runner`` shows
  them to the agent;
* ``pipeline`` leads one utterance through them, ``audio`` (with ``opus``) makes it audible;
* ``pool`` keeps the child processes, ``worker`` is what runs in them;
* ``machine`` and ``installed`` know this machine.
"""
