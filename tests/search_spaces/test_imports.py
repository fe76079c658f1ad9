"""Imports run one way: nas → supernet, lut → search_spaces; the core needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN = {
    "search_spaces": {"torch", "nas", "supernet", "lut"},
    "supernet": {"nas", "lut", "timm", "torchvision", "optuna"},
    "lut": {"nas", "supernet"},
}


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_against_the_direction(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(f.relative_to(ROOT)): imported(f) & FORBIDDEN[package] for f in files}
    assert {name: packages for name, packages in wrong.items() if packages} == {}


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("search_spaces", "torch"),
        ("lut.table", "torch nas supernet"),
        ("lut", "torch nas supernet"),
        ("nas", "torch timm torchvision optuna"),
        ("supernet.strategies", "nas lut timm torchvision"),
    ],
)
def test_what_an_import_pulls_in(modules: str, absent: str) -> None:
    code = (
        f"import sys, {modules}\nprint(*[name for name in {absent.split()} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
