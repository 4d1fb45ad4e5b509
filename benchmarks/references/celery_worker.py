"""A Celery application: ``celery -A benchmarks.references.celery_worker worker``.

The broker's address is in ``BROKER_URL``; everything else is as Celery has it. Its one task sleeps
for as long as a node of the load works.
"""

import os
import time
from typing import Any

from celery import Celery

from benchmarks.references.work import WORK_S, result

app = Celery(broker=os.environ.get("BROKER_URL"), backend=os.environ.get("BROKER_URL"))


@app.task(name="translate")  # type: ignore[untyped-decorator,unused-ignore]
def translate(said: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001  # all work is the same
    """One utterance."""
    time.sleep(WORK_S)
    return result()
