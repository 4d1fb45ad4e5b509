"""Nodes that work for a given time and say what a node says: the load's other end.

With ``receipts`` a node speaks as this project's own does: it receipts an assignment, says that
it has started, sends heartbeats. Without, it says nothing but its result, as nodes of the base do.
"""

from functools import partial
from typing import Any

import msgspec

from benchmarks.load.control import Control
from benchmarks.load.loop import Loop, now
from benchmarks.load.speech import field
from benchmarks.load.websocket import Peer, frame

encode = msgspec.json.encode
decode = msgspec.json.decode


def registration(node_id: str, slots: int, *, receipts: bool, src: str, tgt: str) -> bytes:
    """The hello of a node that can do one pair of languages."""
    return encode(
        {
            "type": "node_register",
            "version": "1.0",
            "platform": "benchmark",
            "hardware": {"cpu_cores": 4, "memory_gb": 8.0},
            "installed_models": [],
            "capability_by_type": [{"type": t, "ready": True} for t in ("asr", "nmt", "tts")],
            "features_supported": {},
            "accept_public_jobs": True,
            "node_id": node_id,
            "language_capabilities": {
                "asr_languages": [src],
                "tts_languages": [tgt],
                "supported_language_pairs": [{"src": src, "tgt": tgt}],
            },
            **({"slots": slots, "receipts": True} if receipts else {}),
        }
    )


def heartbeat(node_id: str) -> bytes:
    """A node's sign of life; it leaves out nothing that is required."""
    usage = {"cpu_percent": 10.0, "mem_percent": 20.0, "running_jobs": 1}
    return encode(
        {
            "type": "node_heartbeat",
            "node_id": node_id,
            "timestamp": 0,
            "resource_usage": usage,
            "installed_services": [],
            "capability_by_type": [{"type": t, "ready": True} for t in ("asr", "nmt", "tts")],
        }
    )


class Nodes:
    """All nodes of one process."""

    def __init__(self) -> None:
        self._loop = Loop()
        self._control = Control(self._loop, {"join": self._join, "leave": self._leave})
        self._peers: dict[Peer, str] = {}
        self._waiting = 0
        self._generation = 0
        self.receipts = True
        self.work_s = 0.0
        self.speech = field("tts_audio", 200)

    def run(self) -> None:
        """Until standard input ends."""
        self._loop.run()

    def _join(
        self,
        port: int,
        nodes: int,
        slots: int = 256,
        receipts: bool = True,
        work_s: float = 0.02,
        speech_chars: int = 200,
        heartbeat_s: float = 1.0,
        src: str = "en",
        tgt: str = "es",
        first: int = 0,
        pace_s: float = 0.0,
    ) -> None:
        """Nodes numbered from ``first`` on, all at once or one every ``pace_s``."""
        self.receipts, self.work_s = receipts, work_s
        self.speech = field("tts_audio", speech_chars)
        self._waiting = nodes
        self._generation += 1
        for number in range(first, first + nodes):
            node_id = f"node-{self._generation:02X}{number:06X}{src}".upper()
            hello = registration(node_id, slots, receipts=receipts, src=src, tgt=tgt)
            beat_s = heartbeat_s if receipts else 0.0
            come = partial(self._come, port, node_id, hello, beat_s, number % nodes / nodes)
            if pace_s:
                self._loop.at(now() + (number - first) * pace_s, come)
            else:
                come()

    def _come(self, port: int, node_id: str, hello: bytes, beat_s: float, phase: float) -> None:
        peer = Peer(
            self._loop, port, "/ws/node", on_open=lambda peer: peer.send(hello),
            on_message=self._message, on_end=self._ended,
        )  # fmt: skip
        self._peers[peer] = node_id
        if beat_s:
            self._beat(peer, frame(heartbeat(node_id)), beat_s, phase)

    def _beat(self, peer: Peer, beat: bytes, interval_s: float, first_s: float) -> None:
        def again() -> None:
            if not peer.ended:
                peer.send_frames(beat)
                self._loop.at(now() + interval_s, again)

        self._loop.at(now() + interval_s * (1 + first_s), again)

    def _leave(self) -> None:
        for peer in list(self._peers):
            peer.reset()
        self._peers.clear()
        self._control.answer()

    def _ended(self, peer: Peer) -> None:
        self._peers.pop(peer, None)
        if self._waiting:
            self._waiting = 0
            self._control.answer(problem="a node was not let in")

    def _message(self, peer: Peer, text: bytes) -> None:
        message = decode(text)
        if message["type"] == "job_assign":
            self._work(peer, message)
        elif message["type"] == "node_register_ack":
            self._waiting -= 1
            if not self._waiting:
                self._control.answer(nodes=len(self._peers))

    def _work(self, peer: Peer, job: dict[str, Any]) -> None:
        about = {name: job[name] for name in ("job_id", "session_id", "trace_id")}
        about |= {"attempt_id": job.get("attempt_id", 1), "node_id": self._peers.get(peer, "")}
        if self.receipts:
            received = frame(encode({"type": "job_ack", **about}))
            peer.send_frames(received + frame(encode({"type": "job_started", **about})))
        result = {
            "type": "job_result",
            **about,
            "utterance_index": job["utterance_index"],
            "success": True,
            "text_asr": "go forward ten meters",
            "text_translated": "Va de frente 10 metros",
            "tts_format": "wav",
            "processing_time_ms": int(self.work_s * 1000),
        }
        head = encode(result)[:-1] + b","
        if self.work_s:
            self._loop.at(now() + self.work_s, lambda: peer.send(head, self.speech))
        else:
            peer.send(head, self.speech)


if __name__ == "__main__":
    Nodes().run()
