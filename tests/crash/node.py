"""A node without models: what it hears is the audio, and it takes a moment for that.

python node.py URL NODE_ID SLOTS
"""

import random
import sys
from collections.abc import Callable
from functools import partial

import trio

from scheduler.config import NodeConfig
from scheduler.node.agent import Agent, Description, Done
from scheduler.runtime.dialer import open_stream, parse_url
from scheduler.wire.common import Capability, Hardware, LanguageCapabilities, LanguagePair
from scheduler.wire.node import JobAssign

WORK_MAX_S = 0.05


class Echo:
    """Engines that give the words they were given."""

    def describe(self) -> Description:
        return Description(
            capabilities=tuple(Capability(type=t, ready=True) for t in ("asr", "nmt", "tts")),
            services=(),
            languages=LanguageCapabilities(
                asr_languages=("en",),
                tts_languages=("es",),
                supported_language_pairs=(LanguagePair(src="en", tgt="es"),),
            ),
        )

    async def run(self, job: JobAssign, on_stage: Callable[[str], None]) -> Done:
        on_stage("asr")
        await trio.sleep(random.uniform(0, WORK_MAX_S))
        return Done(text_asr=job.audio, text_translated=job.audio.upper())


async def main(url: str, node_id: str, slots: int) -> None:
    """Serve until killed."""
    agent = Agent(
        Echo(),
        open_stream=partial(open_stream, parse_url(url), timeout=2.0),
        node_config=NodeConfig(
            url=url, node_id=node_id, slots=slots, backoff_first=0.1, backoff_max=0.3
        ),
        hardware=Hardware(cpu_cores=1, memory_gb=1),
        draw=random.random,
    )
    await agent.run(trio.Event())


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
