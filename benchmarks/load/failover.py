"""One session, two nodes: whoever gets a job first resets its socket; when has the other got it?"""

import sys

import msgspec

from benchmarks.load.control import Control
from benchmarks.load.loop import Loop, now
from benchmarks.load.nodes import encode, heartbeat, registration
from benchmarks.load.speech import field
from benchmarks.load.websocket import Peer, frame

decode = msgspec.json.decode
SRC, TGT = "de", "fr"
"""Languages that no other load speaks, so that the two nodes get no other jobs."""
PAUSE_S = 0.02
HEARTBEAT_S = 1.0


class Failover:
    """Trials one after the other. Both nodes and the session are in this process: one clock."""

    def __init__(self) -> None:
        self._loop = Loop()
        self._control = Control(self._loop, {"run": self._run})
        self._port = 0
        self._left = 0
        self._index = 0
        self._names = 0
        self._nodes: dict[Peer, str] = {}
        self._ready: set[Peer] = set()
        self._reset_at: float | None = None
        self._gaps: list[float] = []
        self._lost = 0
        self._session: Peer | None = None
        self._session_id = ""

    def run(self) -> None:
        """Until standard input ends."""
        self._loop.run()

    def _run(self, port: int, trials: int) -> None:
        self._port, self._left = port, trials
        self._gaps, self._lost = [], 0
        if self._session is None:
            hello = {
                "type": "session_init", "client_version": "1", "platform": "benchmark",
                "src_lang": SRC, "tgt_lang": TGT, "receipts": True,
            }  # fmt: skip
            self._session = Peer(
                self._loop, port, "/ws/session",
                on_open=lambda peer: peer.send(encode(hello)),
                on_message=self._heard_by_session, on_end=lambda _: sys.exit("session lost"),
            )  # fmt: skip
            self._join()
            self._join()
        elif len(self._ready) == 2:  # else the second one's welcome starts it
            self._speak_soon()

    def _join(self) -> None:
        self._names += 1
        node_id = f"node-{self._names:016X}"
        hello = registration(node_id, 8, receipts=True, src=SRC, tgt=TGT)
        peer = Peer(
            self._loop, self._port, "/ws/node", on_open=lambda peer: peer.send(hello),
            on_message=self._heard_by_node, on_end=lambda _: sys.exit("node lost"),
        )  # fmt: skip
        self._nodes[peer] = node_id
        self._beat(peer, frame(heartbeat(node_id)))

    def _beat(self, peer: Peer, beat: bytes) -> None:
        def again() -> None:
            if not peer.ended:
                peer.send_frames(beat)
                self._loop.at(now() + HEARTBEAT_S, again)

        self._loop.at(now() + HEARTBEAT_S, again)

    def _heard_by_node(self, peer: Peer, text: bytes) -> None:
        message = decode(text)
        if message["type"] == "node_register_ack":
            self._ready.add(peer)
            if len(self._ready) == 2:
                self._speak_soon()
        elif message["type"] == "job_assign":
            about = {
                name: message[name] for name in ("job_id", "attempt_id", "session_id", "trace_id")
            } | {"node_id": self._nodes[peer]}
            peer.send(encode({"type": "job_ack", **about}))
            if self._reset_at is None:
                self._loop.at(now() + PAUSE_S, lambda: self._fail(peer))
                return
            self._gaps.append(now() - self._reset_at)
            result = {
                "type": "job_result", **about, "utterance_index": message["utterance_index"],
                "success": True, "text_asr": "go", "text_translated": "va", "tts_format": "wav",
            }  # fmt: skip
            peer.send(encode(result)[:-1] + b",", field("tts_audio", 200))

    def _fail(self, peer: Peer) -> None:
        self._ready.discard(peer)
        del self._nodes[peer]
        self._reset_at = now()
        peer.reset()

    def _heard_by_session(self, peer: Peer, text: bytes) -> None:
        message = decode(text)
        if message["type"] == "session_init_ack":
            self._session_id = message["session_id"]
        elif message["type"] in ("translation_result", "missing_result"):
            self._lost += message["type"] == "missing_result"
            peer.send(
                encode(
                    {"type": "result_ack", "session_id": self._session_id, "seq": message["seq"]}
                )
            )
            self._left -= 1
            self._reset_at = None
            self._join()
            if not self._left:
                self._loop.at(
                    now() + PAUSE_S,
                    lambda: self._control.answer(
                        gap_ms=[round(s * 1000, 4) for s in self._gaps], lost=self._lost
                    ),
                )

    def _speak_soon(self) -> None:
        if self._left:
            self._loop.at(now() + PAUSE_S, self._speak)

    def _speak(self) -> None:
        said = {
            "type": "utterance", "session_id": self._session_id, "utterance_index": self._index,
            "manual_cut": True, "src_lang": SRC, "tgt_lang": TGT, "audio_format": "pcm16",
            "sample_rate": 16000,
        }  # fmt: skip
        self._index += 1
        assert self._session is not None
        self._session.send(encode(said)[:-1] + b",", field("audio", 200))


if __name__ == "__main__":
    Failover().run()
