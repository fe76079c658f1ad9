"""Build the wheel and the sdist, check what they hold, and try the wheel in an empty folder.

    python .ci/package.py [--full]

Without ``--full`` the wheel is unpacked beside nothing else and run with this Python's own
dependencies; with it, into an empty environment, which installs torch and all the rest anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("nas", "supernet", "search_spaces", "lut", "experiments")
BESIDE = {
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "NOTICE.md",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "pyproject.toml",
}
"""What the sdist holds beside the packages."""

TRIED = (["--help"], ["describe", "mobilenet_v2", "--device", "pixel1-cpu"], ["lut", "devices"])


def sources() -> list[str]:
    """The files of the project, those that git would commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def build(folder: Path, files: list[str]) -> tuple[Path, Path]:
    """Wheel and sdist, built from a copy, so that nothing left in the clone gets in."""
    copy, python = folder / "source", folder / "builder" / "bin" / "python"
    for name in files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    venv.create(folder / "builder", with_pip=True)
    run(python, "-m", "pip", "install", "--quiet", "build")
    run(python, "-m", "build", "--outdir", ROOT / "dist", copy)
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    return wheel, sdist


def check(wheel: Path, sdist: Path, files: list[str]) -> None:
    """Both hold every file of the packages, and nothing but what is named here."""
    packaged = {name for name in files if name.partition("/")[0] in PACKAGES}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    same("wheel", found, packaged)
    with tarfile.open(sdist) as archive:
        members = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    made = {name for name in members if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    same("sdist", members - made, packaged | (BESIDE & set(files)))


def same(what: str, found: set[str], wanted: set[str]) -> None:
    """Refuse a difference by name."""
    if found != wanted:
        sys.exit(f"{what}: lacks {sorted(wanted - found)}, has {sorted(found - wanted)} besides")
    print(f"{what}: {len(found)} files, as wanted")


def try_wheel(wheel: Path, folder: Path, *, full: bool) -> None:
    """Run the installed commands in an empty folder."""
    inside, empty = folder / "installed", folder / "empty folder"
    empty.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if full:
        venv.create(inside, with_pip=True)
        python = inside / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", wheel)
        program = [inside / "bin" / "nas"]
    else:
        run(
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            inside,
            wheel,
        )
        environment["PYTHONPATH"] = str(inside)
        program = [sys.executable, "-m", "nas"]
    for arguments in TRIED:
        said = run(*program, *arguments, cwd=empty, env=environment)
        print(f"nas {' '.join(arguments)}: {len(said.splitlines())} lines")


def run(*command: object, **options: object) -> str:
    """A command's output; the script ends where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return str(done.stdout)


def main() -> None:
    """Everything in a temporary folder; wheel and sdist are left in ``dist/``."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        files = sources()
        wheel, sdist = build(Path(name), files)
        check(wheel, sdist, files)
        try_wheel(wheel, Path(name), full="--full" in sys.argv)
    print(f"{wheel.relative_to(ROOT)} {sdist.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
