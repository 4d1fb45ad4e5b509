"""Every setting is sensible by itself, explains itself, and says what it is measured in."""

import math
from pathlib import Path
from typing import Any

import attrs
import pytest

from scheduler import config
from scheduler.config import ClientConfig, Config, NodeConfig, TranslateConfig
from scheduler.consistency import MAY_BE_ZERO
from scheduler.errors import ConfigError

KINDS: list[type] = [Config, NodeConfig, ClientConfig, TranslateConfig]
UNITS = {"Seconds": float, "Ratio": float, "Count": int, "Bytes": int}
NO_MEASURE = ("port",)
WORDS_OF_THEIR_OWN = ("normal",)
SENTENCE_CHARS = range(15, 161)


Field = Any  # an attribute of attrs, whose class cannot be subscripted at run time


def fields() -> list[tuple[type, Field]]:
    return [(kind, field) for kind in KINDS for field in attrs.fields(kind)]


def is_number(kind: type, field: Field) -> bool:
    return not isinstance(getattr(kind(), field.name), bool | str)


def written_type(field: Field) -> str:
    """The annotation as it stands in the source, where ``Seconds`` is not just ``float``."""
    lines = Path(config.__file__).read_text(encoding="utf-8").splitlines()
    [found, *_] = [line.split(":")[1] for line in lines if line.startswith(f"    {field.name}: ")]
    return found.split("=")[0].strip()


def test_every_number_has_a_sensible_default() -> None:
    """It is positive and finite, unless zero means something."""
    numbers = {field.name: getattr(kind(), field.name) for kind, field in fields()
               if is_number(kind, field)}  # fmt: skip
    assert len(numbers) > 50
    senseless = {
        name: value
        for name, value in numbers.items()
        if not math.isfinite(value) or value < 0 or (value == 0 and name not in MAY_BE_ZERO)
    }
    assert senseless == {}


def test_every_setting_explains_itself() -> None:
    """Its help is a whole sentence that fits on the screen, and the flag shows the same."""
    for _, field in fields():
        text = field.metadata["help"]
        assert field.metadata["typed-settings"]["help"] == text
        assert len(text) in SENTENCE_CHARS, (field.name, text)
        assert text[0].isupper() or text.split()[0] in WORDS_OF_THEIR_OWN, (field.name, text)
        assert text.endswith("."), (field.name, text)


def test_every_number_has_a_unit() -> None:
    """The type of a setting that measures something says in what, and its default is of it."""
    for kind, field in fields():
        written = written_type(field)
        if not is_number(kind, field):
            assert written in ("str", "bool"), field.name
        elif field.name not in NO_MEASURE:
            assert type(getattr(kind(), field.name)) is UNITS[written], field.name


@pytest.mark.parametrize("value", [-1, math.inf, math.nan])
def test_no_number_may_be_senseless(value: float) -> None:
    """What is negative, endless or no number is refused, and the sentence names the setting."""
    for kind, field in fields():
        if is_number(kind, field):
            with pytest.raises(ConfigError, match=rf"\b{field.name} must be "):
                kind(**{field.name: value})


def test_settings_follow_the_ones_they_must_be_below() -> None:
    """Whoever shortens one timer need not know every timer that must be shorter still."""
    for seconds in (0.25, 1.0, 10.0, 1000.0):
        Config(dispatched_timeout=seconds)
        Config(session_retention=seconds)
        Config(drain_timeout=seconds)
    for size in (2**10, 2**16, 2**30):
        Config(message_bytes_max=size)


def test_the_help_of_a_follower_says_so() -> None:
    """A default that depends on others is shown with its usual value."""
    help_of = {field.name: field.metadata["help"] for field in attrs.fields(Config)}
    assert help_of["node_receipt_timeout"].endswith("Follows the others; usually 1.5.")
    assert help_of["write_timeout"].endswith("Follows the others; usually 5.")
    followers = {name: text for name, text in help_of.items() if "Follows" in text}
    assert len(followers) > 5
    for name, text in followers.items():
        usual = text.rsplit("usually ", 1)[1].rstrip(".")
        assert float(usual) == pytest.approx(getattr(Config(), name), rel=1e-5)


def test_settings_cannot_be_changed() -> None:
    """What was checked together stays together."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]
