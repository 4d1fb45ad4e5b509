"""What is done: connections, deadlines, and the step from a decision to its effects.

* ``stream``: a byte stream whose interrupted write is its last one;
* ``outbox``: the bounded queue before one connection's writer;
* ``connection``: one WebSocket connection as one nursery; the only module that knows
  trio-websocket;
* ``reader``: a place for that library's own task; ``keepalive``: whether the peer still lives;
* ``deadlines``: one cancel scope per timer, in the job nursery;
* ``shell``: runs the engine and performs its effects, in one synchronous step;
* ``peer``: one connection's conversation, from its hello to its end;
* ``backoff``, ``ids``: how long to wait before trying again; where names come from.
"""
