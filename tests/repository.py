"""The files of this repository, for the tests that hold rules about them."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def project_files(suffix: str = "") -> list[Path]:
    """Files that belong to the project, tracked or about to be, as paths relative to it."""
    paths = sorted({Path(name) for name in _listing()})
    return [p for p in paths if p.name.endswith(suffix) and (ROOT / p).is_file()]


def _listing() -> list[str]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached"]
    command += ["--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        # An unpacked archive, not a checkout: everything that no tool has made.
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        made = re.compile(r"(^|/)(\.(?!ci/)|__pycache__|dist/|build/|demo-out/)|\.egg-info/")
        return [str(path) for path in paths if not made.search(f"{path}")]
    return [name for name in done.stdout.decode().split("\0") if name]


def source_modules() -> dict[Path, ast.Module]:
    """Each module under src/, parsed, by its path relative to the repository."""
    return {
        path: ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))
        for path in project_files(".py")
        if path.parts[0] == "src"
    }


def prose_lines(markdown: str) -> list[str]:
    """The lines of a Markdown text, with those of fenced code blocks made empty."""
    lines = []
    fence = ""
    for line in markdown.splitlines():
        mark = line.strip()[:3]
        if fence:
            fence = "" if mark == fence else fence
            lines.append("")
        elif mark in ("```", "~~~"):
            fence = mark
            lines.append("")
        else:
            lines.append(line)
    return lines
