"""The processes that make the load: plain sockets and one loop, cheap beside any server."""
