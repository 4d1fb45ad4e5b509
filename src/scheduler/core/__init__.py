"""What is decided: a synchronous engine over plain data.

The words of this room:

* an *event* is a fact from outside (a peer joined, a message came, a write was
  finished, a timer expired): ``events``;
* an *effect* is what the shell is to do about it (send, end a connection, set or
  clear a timer, note a fact): ``events``;
* a *job* moves along one table of transitions: ``states``, ``job``;
* a *session* owns the order and the receipts of its outcomes: ``session``, ``delivery``;
* a *node* owns slots: ``node``; *placement* pairs jobs with slots: ``placement``, ``dispatch``.

``engine.Engine.handle(event, now) -> effects`` is the only way to change anything.
Nothing here waits, reads a clock, rolls dice, logs or imports trio.
"""
