"""Rules about the shape of this repository: what a reader may rely on in every file."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from repository import ROOT, project_files, prose_lines, source_modules

MODULE_LINES_MAX = 320
FUNCTION_LINES_MAX = 60

COVERED_ELSEWHERE: dict[str, str] = {
    # "src/scheduler/…": "tests/…: why its tests stand there",
    "src/scheduler/core/events.py": "tests/core/test_machine.py: plain data, driven in every order",
    "src/scheduler/core/records.py": "tests/core/test_recovery.py: plain data, kept and given back",
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

# A path of one machine, not a part of a longer path or of a URL.
MACHINE_PATH = re.compile(r"(?<![\w.:/$}~*-])/(?:work|root|home/\w+|tmp/\w+)(?![\w-])")


def public_definitions(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, Definition]]:
    """Public classes and functions of a module, methods of public classes included."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield within + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{within}{node.name}.")


def long_functions(module: ast.Module) -> list[str]:
    """Functions longer than FUNCTION_LINES_MAX, docstring included, decorators not."""
    return [
        f"{node.name} has {length} lines"
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def undocumented(module: ast.Module) -> list[str]:
    """Public names without a docstring; "the module" for the module itself."""
    names = [] if ast.get_docstring(module) else ["the module"]
    overloads = re.compile(r"overload|\.setter")
    for name, node in public_definitions(module.body):
        decorators = " ".join(map(ast.unparse, node.decorator_list))
        if not ast.get_docstring(node) and not overloads.search(decorators):
            names.append(name)
    return names


def has_code(module: ast.Module) -> bool:
    """Whether a module defines a function or a class."""
    return any(isinstance(node, Definition) for node in module.body)


def headings_of_rank_one(markdown: str) -> int:
    """How many H1 a Markdown text has, outside code blocks."""
    lines = prose_lines(markdown)
    underlined = sum(
        bool(re.fullmatch(r"=+ *", line)) and bool(above.strip()) for above, line in pairwise(lines)
    )
    return underlined + sum(line.startswith("# ") for line in lines)


def mirrored_test(source: Path) -> Path:
    """tests/wire/test_codec.py for src/scheduler/wire/codec.py."""
    inside = source.relative_to("src/scheduler")
    return Path("tests") / inside.with_name(f"test_{inside.name}")


def test_modules_are_short() -> None:
    """No module of src is longer than MODULE_LINES_MAX lines."""
    lengths = {
        p: len((ROOT / p).read_text(encoding="utf-8").splitlines()) for p in source_modules()
    }
    assert {str(p): n for p, n in lengths.items() if n > MODULE_LINES_MAX} == {}


def test_functions_fit_a_screen() -> None:
    """No function of src is longer than FUNCTION_LINES_MAX lines."""
    found = {str(path): long_functions(module) for path, module in source_modules().items()}
    assert {path: functions for path, functions in found.items() if functions} == {}


def test_public_names_are_documented() -> None:
    """Every module, and every public class, function and method of src, has a docstring."""
    found = {str(path): undocumented(module) for path, module in source_modules().items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_module_has_its_tests() -> None:
    """A module with code has a test file of the mirrored name, or a reason in COVERED_ELSEWHERE."""
    coded = {path for path, module in source_modules().items() if has_code(module)}
    without = {str(path) for path in coded if not (ROOT / mirrored_test(path)).exists()}
    assert sorted(without - COVERED_ELSEWHERE.keys()) == []


def test_exceptions_to_the_mirror_are_still_needed() -> None:
    """Each entry of COVERED_ELSEWHERE names a module without a mirrored test, and a real test."""
    for source, reason in COVERED_ELSEWHERE.items():
        assert (ROOT / source).is_file(), f"{source} is gone"
        assert not (ROOT / mirrored_test(Path(source))).exists(), f"{source} has its own test now"
        test, _, why = reason.partition(": ")
        assert (ROOT / test).is_file(), f"{source}: {test} is gone"
        assert why, f"{source}: say why"


def test_a_document_has_one_title() -> None:
    """Every Markdown document has exactly one heading of rank one."""
    texts = {p: (ROOT / p).read_text(encoding="utf-8") for p in project_files(".md")}
    counts = {str(path): headings_of_rank_one(text) for path, text in texts.items()}
    assert {path: count for path, count in counts.items() if count != 1} == {}


def test_no_file_knows_one_machine() -> None:
    """No file has an absolute path of a developer's machine in it."""
    found = []
    for path in project_files():
        try:
            lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # sound and pictures
        found += [
            f"{path}:{number}: {match[0]}"
            for number, line in enumerate(lines, 1)
            for match in MACHINE_PATH.finditer(line)
        ]
    assert found == []


def test_the_rules_above_notice() -> None:
    """Each rule finds a text that breaks it, and lets one pass that keeps it."""
    body = "\n".join(["    x = 1"] * (FUNCTION_LINES_MAX - 1))
    assert long_functions(ast.parse(f"def f():\n{body}")) == []
    assert long_functions(ast.parse(f"def f():\n{body}\n    y = 2")) == ["f has 61 lines"]
    text = "class A:\n  'a'\n  def b(self): pass\n  def _c(self): pass\nasync def d(): 'd'"
    assert undocumented(ast.parse(text)) == ["the module", "A.b"]
    assert not has_code(ast.parse("X = 1"))
    assert headings_of_rank_one("# One\n```\n# code\n```\nTwo\n===\n## Three") == 2
    assert mirrored_test(Path("src/scheduler/wire/codec.py")) == Path("tests/wire/test_codec.py")
    here, away = "/" + "home/ann/x", "https://host/home" + "/ann"
    assert MACHINE_PATH.search(f"see {here}")
    assert not MACHINE_PATH.search(f"see {away} and GET /workers and ./root/x")
