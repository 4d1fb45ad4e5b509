"""A client that may be killed at any instant and knows afterwards what it had.

It speaks the protocol by hand, and writes what happened to it into a log before it acts on it:
an outcome is in the log before it is acknowledged. So the log is what this client really has,
whatever the scheduler believes. Started again on the same log, it resumes.

    python client.py URL LOG

It goes on until there is a file ``stop`` beside the log; then it waits for what is still open.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import trio
import trio_websocket

IN_FLIGHT_MAX = 4
PAUSE_MAX_S = 0.3
HELLO_TIMEOUT_S = 5.0
LOST = (OSError, trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, trio.TooSlowError)


def speech(log: str, index: int) -> str:
    """What this client says, different from everything that any other one says."""
    return f"{log}:{index}"


@attrs.define(eq=False)
class Log:
    """What is known for sure. Every line is written by one system call, before it counts."""

    path: Path
    session: dict[str, str] | None = None
    submitted: set[int] = attrs.Factory(set)
    accepted: dict[int, str] = attrs.Factory(dict)
    ended: set[int] = attrs.Factory(set)
    last_seq: int = 0
    _file: int = -1

    def open(self) -> None:
        """Read what an earlier life wrote; a last line cut short was never acted upon."""
        text = self.path.read_text() if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self.path.write_text(whole)
        for line in whole.splitlines():
            self._know(json.loads(line))
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, **detail: Any) -> None:
        """Write a line, then know it."""
        line = {"what": what, **detail, "at": time.time()}  # noqa: TID251  # for people only
        os.write(self._file, (json.dumps(line) + "\n").encode())
        self._know(line)

    def _know(self, line: dict[str, Any]) -> None:
        match line["what"]:
            case "session":
                self.session = {"id": line["id"], "token": line["token"]}
            case "submitted":
                self.submitted.add(line["index"])
            case "accepted":
                self.accepted[line["index"]] = line["job_id"]
            case "outcome":
                self.ended.add(line["index"])
                self.last_seq = line["seq"]


class Client:
    """One session to its end: every utterance with its outcome."""

    def __init__(self, url: str, log: Log) -> None:
        self._url = url
        self._log = log
        self._stop = log.path.with_name("stop")

    @property
    def _done(self) -> bool:
        return self._stop.exists() and self._log.ended == self._log.submitted

    async def run(self) -> None:
        """Connect again and again until everything has its outcome."""
        while not self._done:
            try:
                with trio.fail_after(HELLO_TIMEOUT_S):
                    ws = await trio_websocket.connect_websocket_url(
                        self._nursery, f"{self._url}/ws/session"
                    )
                await self._converse(ws)
            except* LOST:
                pass
            await trio.sleep(random.uniform(0, PAUSE_MAX_S))

    async def main(self) -> None:
        """As a program: the nursery is for the library's own task."""
        while not self._done:
            try:
                async with trio.open_nursery() as self._nursery:
                    await self.run()
                    self._nursery.cancel_scope.cancel()
            except* LOST:
                pass

    async def _converse(self, ws: trio_websocket.WebSocketConnection) -> None:
        await self._say(ws, **self._hello())
        with trio.fail_after(HELLO_TIMEOUT_S):
            while (message := json.loads(await ws.get_message()))["type"] != "session_init_ack":
                self._log.write("refused", code=message.get("code"))
        if not message["resumed"]:
            self._log.write("session", id=message["session_id"], token=message["resume_token"])
        for index in sorted(self._log.submitted - self._log.accepted.keys()):
            await self._submit(ws, index)
        while not self._done:
            await self._fill(ws)
            await self._hear(ws, json.loads(await ws.get_message()))

    def _hello(self) -> dict[str, Any]:
        hello: dict[str, Any] = {
            "type": "session_init", "client_version": "1", "platform": "test",
            "src_lang": "en", "tgt_lang": "es", "receipts": True,
        }  # fmt: skip
        if (session := self._log.session) is not None:
            hello["resume"] = {
                "session_id": session["id"], "resume_token": session["token"],
                "last_seq": self._log.last_seq,
            }  # fmt: skip
        return hello

    async def _fill(self, ws: trio_websocket.WebSocketConnection) -> None:
        log = self._log
        while len(log.submitted) < len(log.ended) + IN_FLIGHT_MAX and not self._stop.exists():
            index = len(log.submitted)
            log.write("submitted", index=index)
            await self._submit(ws, index)

    async def _submit(self, ws: trio_websocket.WebSocketConnection, index: int) -> None:
        await self._say(
            ws, type="utterance", utterance_index=index, manual_cut=True, src_lang="en",
            tgt_lang="es", audio=speech(self._log.path.name, index), audio_format="pcm16",
            sample_rate=16000,
        )  # fmt: skip

    async def _hear(self, ws: trio_websocket.WebSocketConnection, message: dict[str, Any]) -> None:
        log = self._log
        match message["type"]:
            case "utterance_accepted":
                log.write("accepted", index=message["utterance_index"], job_id=message["job_id"])
            case "translation_result" | "missing_result":
                log.write(
                    "outcome", index=message["utterance_index"], seq=message["seq"],
                    job_id=message["job_id"], reason=message.get("reason", "translated"),
                    text=message.get("text_asr"), session=message["session_id"],
                )  # fmt: skip
                await self._say(ws, type="result_ack", seq=message["seq"])
            case "error":
                log.write("error", code=message["code"], details=message.get("details"))
                index = (message.get("details") or {}).get("utterance_index")
                if index is not None:  # refused: again, when there is time
                    await trio.sleep(random.uniform(0, PAUSE_MAX_S))
                    await self._submit(ws, index)

    async def _say(self, ws: trio_websocket.WebSocketConnection, **message: Any) -> None:
        if self._log.session is not None and message["type"] != "session_init":
            message["session_id"] = self._log.session["id"]
        await ws.send_message(json.dumps(message))


def main() -> None:
    """Run until all is done."""
    log = Log(Path(sys.argv[2]))
    log.open()
    trio.run(Client(sys.argv[1], log).main)


if __name__ == "__main__":
    main()
