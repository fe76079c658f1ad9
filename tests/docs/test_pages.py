"""The code in the pages runs as it stands, and what they link to exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_search_space_page_runs_from_top_to_bottom(tmp_path):
    page = (ROOT / "docs" / "search-space.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert "@register" in code and "assert" in code
    # a process of its own: the page registers a space
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "MACs" in done.stdout and "stage1.block1.pointwise" in done.stdout


def test_the_page_for_programs_runs_from_top_to_bottom(tmp_path):
    page = (ROOT / "docs" / "from-python.md").read_text(encoding="utf-8")
    *blocks, last = re.findall(r"```(?:python|sh)\n(.*?)```", page, re.DOTALL)
    export, code = blocks.pop(), "\n".join(blocks)
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    after = tmp_path / "after.py"
    after.write_text(f"import nas\n{last}", encoding="utf-8")
    commands = [[script], ["-m", *export.split()], [after]]
    said = []
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert "MACs, outputs (64, 10)" in said[0]
    assert "'0', '1'" in said[2]


OWN_TASKS = ("digits", "denoise", "disc")


@pytest.mark.parametrize("number", range(3), ids=OWN_TASKS)
def test_the_page_about_own_tasks_runs(number, tmp_path, monkeypatch):
    """Every example's files and commands, with fewer epochs."""
    from nas.cli import main

    page = (ROOT / "docs" / "own-task.md").read_text(encoding="utf-8")
    code, recipe, commands = (
        re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "yaml", "sh")
    )
    assert len(code) == len(recipe) == len(commands) == 3
    name, fast = OWN_TASKS[number], "threads: 1\naccelerator: cpu\n"
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.py").write_text(code[number], encoding="utf-8")
    shorter = re.sub(r"{epochs: \d+", "{epochs: 1, steps_per_epoch: 2", recipe[number])
    assert shorter.count("steps_per_epoch") == 2
    (tmp_path / f"{name}.yaml").write_text(shorter + fast, encoding="utf-8")
    lines = commands[number].splitlines()
    assert lines[0] == f"nas run {name}.yaml"
    for line in lines:
        assert main(line.split()[1:]) == 0, line
    assert any((tmp_path / "runs").rglob("*.tflite"))


def test_the_page_about_a_detector_runs(tmp_path, monkeypatch):
    """Its files and commands, with fewer images, steps and iterations."""
    from nas.cli import main

    page = (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")
    code, recipe, first, commands = (
        block
        for kind in ("python", "yaml", "sh")
        for block in re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
    )
    for long, short in (
        (r"epochs: \d+\n  batch_size: \d+", "epochs: 1\n  batch_size: 4\n  steps_per_epoch: 1"),
        (r"holdout: [\d.]+", "holdout: 4, settings: {images: 16}"),
        (r"budget: 50%", "budget: 94%"),
        (r"{resolution: 64}", "{resolution: 64}, keep: ['[!u]*']"),
        (r"steps: 10", "steps: 1"),
        (r"batch_size: 16, recalibration_images: 64", "batch_size: 4, recalibration_images: 4"),
    ):
        assert re.search(long, recipe), long
        recipe = re.sub(long, short, recipe)
    code, replaced = re.subn(r"Shapes\(1_000_000, \d+\)", "Shapes(1_000_000, 4)", code)
    assert replaced == 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "detector.py").write_text(code, encoding="utf-8")
    (tmp_path / "detector.yaml").write_text(
        recipe + "threads: 1\naccelerator: cpu\n", encoding="utf-8"
    )
    for line in (first + commands).splitlines():
        assert main(line.partition("#")[0].split()[1:]) == 0, line
    found = nas.load_result(tmp_path / "runs" / "detector" / "search" / "main")
    largest, best = found.family[0].metrics, found.best.metrics
    assert best["latency"] <= 0.94 * largest["latency"]
    assert (tmp_path / "runs/detector/train/discovered/network.tflite").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"", text):
        link = (target[0] or target[1]).partition("#")[0]
        if link and not re.match(r"[a-z]+:", link):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_commands_of_the_page_about_shipping_are_ones():
    """Every option and every field that they set exists."""
    import shlex

    import typer

    from nas.cli.app import app
    from nas.recipe.loading import load_experiment

    page = (ROOT / "docs" / "ship-it.md").read_text(encoding="utf-8")
    lines = [
        line
        for block in re.findall(r"```\n(.*?)```", page, re.DOTALL)
        for line in block.split("\n")
    ]
    commands = [line for line in lines if line.startswith("nas ")]
    assert len(commands) > 8
    root = typer.main.get_command(app)
    for line in commands:
        words, command = shlex.split(line)[1:], root
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        context = command.make_context(command.name, words)
        if context.params.get("overrides"):
            load_experiment("digits_quickstart", list(context.params["overrides"]))


def test_every_page_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE))
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    assert pages <= named
