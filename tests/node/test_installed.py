"""What is missing is named, with the command that installs it."""

from scheduler.node.installed import EXTRA_HINT, missing_modules, version_of


def test_what_is_there_is_no_fault() -> None:
    """Modules that can be imported are not missing."""
    assert missing_modules() is None
    assert missing_modules("trio", "attrs") is None


def test_all_that_is_missing_is_named_with_the_hint() -> None:
    """One sentence has every missing module, and how to get them."""
    fault = missing_modules("trio", "no_such_module", "nor_this")
    assert fault is not None
    assert str(fault) == f"not installed: no_such_module, nor_this ({EXTRA_HINT})"


def test_versions_are_those_of_the_distributions() -> None:
    """An installed distribution has a version, another has none."""
    assert version_of("trio")
    assert version_of("no-such-distribution") is None
