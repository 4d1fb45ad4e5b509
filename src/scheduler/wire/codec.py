import json, attrs, cattrs
from scheduler.errors import ProtocolError
from scheduler.wire import node, session

_c = cattrs.Converter(omit_if_default=True)
TAGS = {
    c: t
    for tab in (session.FROM_SESSION, session.TO_SESSION, node.FROM_NODE, node.TO_NODE)
    for t, c in tab.items()
}


def encode(m):
    return json.dumps({"type": TAGS[type(m)], **_c.unstructure(m)})


def decode(text, table):
    try:
        d = json.loads(text)
        return _c.structure(d, table[d["type"]])
    except Exception as e:
        raise ProtocolError("$", repr(e)) from None


def decode_from_session(t):
    return decode(t, session.FROM_SESSION)


def decode_to_session(t):
    return decode(t, session.TO_SESSION)


def decode_from_node(t):
    return decode(t, node.FROM_NODE)


def decode_to_node(t):
    return decode(t, node.TO_NODE)
