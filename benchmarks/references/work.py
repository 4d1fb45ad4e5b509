"""What all workers behind the gateways do: take ``WORK_S`` seconds and give the same result."""

import os
from typing import Any

WORK_S = float(os.environ.get("WORK_S", "0.02"))
SPEECH = "A" * 200


def result() -> dict[str, Any]:
    """The fields of a result that are not about whose it is, as large as those of a load's node."""
    return {
        "text_asr": "go forward ten meters",
        "text_translated": "Va de frente 10 metros",
        "tts_audio": SPEECH,
        "tts_format": "wav",
    }
