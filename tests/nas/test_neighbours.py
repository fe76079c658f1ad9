"""What an installed `nas` does where the names of its packages are taken."""

import subprocess
import sys
from pathlib import Path

import pytest

from nas.neighbours import SITE


def nas(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m nas``, which looks for packages in the current folder first."""
    code = f"import sys; sys.path.append({str(SITE)!r}); from nas.__main__ import *"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["lut", "search_spaces", "supernet"])
def test_a_file_that_hides_a_package_is_named_in_a_line(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("")
    done = nas(tmp_path, "--version")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"{name}.py hides the package {name}" in done.stderr
    code = f"import sys; sys.path.append({str(SITE)!r}); import nas; nas.open_space"
    program = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert program.returncode == 1 and b"ImportError" in program.stderr
    assert f"hides the package {name}".encode() in program.stderr


def test_a_package_named_experiments_hides_no_recipe(tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").write_text("")
    done = nas(tmp_path, "train-supernet", "digits_quickstar")
    assert done.returncode == 2 and "digits_quickstart" in done.stderr
