"""lingua-scheduler: a real-time dispatch scheduler for speech translation.

Three rooms: ``wire`` is what is said, ``core`` is what is decided, ``runtime`` is
what is done; ``store`` is what is remembered. The doors stand around them:
``server``, ``node``, ``client``, ``cli``. ARCHITECTURE.md is the map.
"""

__version__ = "0.1.0"
