"""What is said: the messages of the wire and their encoding.

``session`` and ``node`` hold the messages by who speaks, ``common`` what they share: bare
data, with nothing in it that knows JSON. ``codec`` alone turns text into messages and back.
docs/protocol.md is the normative text.
"""
