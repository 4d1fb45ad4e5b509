"""Relative links in the documents lead to files and headings that exist."""

import re
from pathlib import Path
from urllib.parse import unquote

from repository import ROOT, project_files, prose_lines

INLINE = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)")
HTML = re.compile(r"""(?:href|src)=["']([^"']+)["']""")
ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")


def targets(markdown: str) -> list[tuple[int, str]]:
    """Line number and target of each link, outside of code."""
    found = []
    for number, line in enumerate(prose_lines(markdown), 1):
        prose = re.sub(r"`[^`]*`", "code", line)
        found += [
            (number, m[1]) for rule in (INLINE, REFERENCE, HTML) for m in rule.finditer(prose)
        ]
    return [(number, target) for number, target in found if not ELSEWHERE.match(target)]


def anchors(markdown: str) -> set[str]:
    """The names by which a document's headings can be linked to."""
    names: set[str] = set(re.findall(r"""<a (?:id|name)=["']([^"']+)["']""", markdown))
    for line in prose_lines(markdown):
        if heading := re.match(r"#{1,6} +(.*?) *#*$", line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            twins = sum(bool(re.fullmatch(rf"{re.escape(name)}(-\d+)?", other)) for other in names)
            names.add(f"{name}-{twins}" if twins else name)
    return names


def broken_links(document: Path, root: Path) -> list[str]:
    """A sentence for each link of ``document`` (a path below ``root``) that leads nowhere."""
    problems = []
    for number, target in targets((root / document).read_text(encoding="utf-8")):
        name, _, anchor = unquote(target).partition("#")
        start = root if name.startswith("/") else (root / document).parent
        path = (start / name.lstrip("/")).resolve() if name else root / document
        where = f"{document}:{number}: {target}"
        if not path.is_relative_to(root.resolve()):
            problems.append(f"{where} leads out of the repository")
        elif not path.exists():
            problems.append(f"{where} does not exist")
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text("utf-8")):
            problems.append(f"{where}: there is no such heading")
    return problems


def test_links_lead_somewhere() -> None:
    """Every relative link in every Markdown document leads to a file, and to a heading in it."""
    found = [problem for path in project_files(".md") for problem in broken_links(path, ROOT)]
    assert found == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    """Links to a missing file, a missing heading or outside are reported, good ones are not."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "b.md").write_text("# The `wire`, twice!\n## Same\n## Same\n")
    (tmp_path / "a.md").write_text(
        "[ok](docs/b.md) [ok](docs/b.md#the-wire-twice) [ok](docs/b.md#same-1) [ok](#top)\n"
        "# Top\n"
        "[web](https://example.org/x) `[code](nowhere.md)`\n"
        "```\n[code](nowhere.md)\n```\n"
        "[gone](docs/c.md) ![gone](x.png)\n"
        "[ref]: docs/b.md#same-2\n"
        '<a href="../away.md">out</a>\n'
    )
    assert broken_links(Path("a.md"), tmp_path) == [
        "a.md:7: docs/c.md does not exist",
        "a.md:7: x.png does not exist",
        "a.md:8: docs/b.md#same-2: there is no such heading",
        "a.md:9: ../away.md leads out of the repository",
    ]
