"""The checks of this project, each a session. `nox -l` lists them, `nox` runs them all.

`nox` gives each session an environment of its own. `scripts/test` prepares one environment for
all of them and runs `nox --no-venv` in it, which is quicker and does without the network.
"""

import hashlib
from pathlib import Path

import nox
import nox.virtualenv

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
CODE = ("src", "tests", "benchmarks", "noxfile.py")
DOC_TESTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_docs*.py"))


def install(session: nox.Session, *groups: str, extras: str = "") -> None:
    """Install this package and dependency groups, unless that was done for this pyproject.toml."""
    if isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv):
        return  # --no-venv: whoever started nox has prepared the environment
    wanted = hashlib.sha256(
        (ROOT / "pyproject.toml").read_bytes() + repr((groups, extras)).encode()
    ).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed-for"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    session.install("-e", f".{extras}", *nox.project.dependency_groups(PYPROJECT, *groups))
    stamp.write_text(wanted)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    install(session, "test", extras="[node]")
    # The session `docs` has the first, the sessions of their names the others.
    elsewhere = (*DOC_TESTS, "tests/browser", "tests/prometheus")
    default = [f"--ignore={path}" for path in elsewhere]
    session.run("python", "-m", "pytest", *(session.posargs or default))


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes and for uneven layout with ruff; `-- --fix` mends what can be mended."""
    install(session, "lint")
    session.run("ruff", "check", *session.posargs, *CODE)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]), *CODE)


@nox.session
def types(session: nox.Session) -> None:
    """Check all types with mypy --strict, those of the tests and of this file included."""
    install(session, "dev")
    session.run("mypy", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports point one way only."""
    install(session, "layers")
    session.run("lint-imports", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Check the documents: that links lead somewhere, and what else tests/test_docs* demand."""
    install(session, "test")
    session.run("python", "-m", "pytest", *(session.posargs or DOC_TESTS))


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Use the pages in a real Chromium, with a real scheduler, node and voice behind them."""
    packages = "chromium apertium apertium-eng-spa espeak-ng pocketsphinx-testdata"
    wanted = "--group test --group browser -e .[node]"
    prepare = f"need_debian_packages {packages}; need_venv .nox/browser {wanted}"
    session.run("bash", "-ec", f"source scripts/lib.sh; {prepare}", external=True)
    arguments = session.posargs or ["tests/browser"]
    session.run(".nox/browser/bin/python", "-m", "pytest", *arguments, external=True)


@nox.session(default=False)
def prometheus(session: nox.Session) -> None:
    """Let promtool judge metrics and rules, and a real Prometheus scrape a real scheduler."""
    install(session, "test")
    prepare = "source scripts/lib.sh; need_debian_packages prometheus"
    session.run("bash", "-ec", prepare, external=True)
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/prometheus"]))


@nox.session(default=False)
def crash(session: nox.Session) -> None:
    """Kill processes at random and look what was lost: `-- --kills 200 --seed 1`."""
    install(session, "test")
    session.run("python", "-m", "crash.rig", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(default=False)
def rolling(session: nox.Session) -> None:
    """Restart the scheduler politely under load, and print what that cost: `-- --restarts 10`."""
    install(session, "test")
    session.run("python", "-m", "crash.rolling", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(default=False)
def simulate(session: nox.Session) -> None:
    """Search whole simulated worlds for a broken property: `-- --seed 1 --utterances 300000`."""
    install(session, "test")
    session.run("python", "-m", "simulation.longrun", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure everything beside something: `-- --quick --only small --rounds 3`."""
    prepare = "source scripts/lib.sh; need_venv .nox/bench --group bench -e ."
    if "peers" in session.posargs or "--only" not in session.posargs:
        # One by one: where a broker cannot be had, the others are still measured.
        for broker in ("redis-server", "nats-server"):
            prepare += f"; need_debian_packages {broker} || true"
    session.run("bash", "-ec", prepare, external=True)
    session.run(".nox/bench/bin/python", "-m", "benchmarks", *session.posargs, external=True)
