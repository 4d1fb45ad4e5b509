"""The engines of a node, as the node knows them."""

import attrs
from fakes import ScriptedEngines

from scheduler.node.services import Services


def test_all_engines_are_in_the_order_of_the_pipeline() -> None:
    """Every service is asked, described and looked after: none is left out of ``all``."""
    services = ScriptedEngines().services
    named = [getattr(services, field.name) for field in attrs.fields(Services)]
    assert list(services.all) == named
    assert [engine.service_id for engine in services.all] == [
        "detector", "recognizer", "repairer", "translator", "synthesizer",
    ]  # fmt: skip
