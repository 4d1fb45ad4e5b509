"""The door: one port for WebSocket peers and plain HTTP.

* ``front`` serves one byte stream: HTTP requests, or the hand-over to a WebSocket;
* ``app`` is what plain HTTP can ask for;
* ``serve`` holds the listener, the connections and the jobs together, and ends them in
  that order.
"""
