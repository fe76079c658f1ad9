"""Hooks of mkdocs: pages that lie outside ``docs/``, their links, and the API reference."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]

PAGES = {
    "index.md": "README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "NOTICE.md": "NOTICE.md",
    "SECURITY.md": "SECURITY.md",
    "LICENSE.md": "LICENSE",
}
"""Page of the site → file of the project."""

LINKS = (
    (r"\]\(docs/results\)", "](results/README.md)"),
    (r"\]\(docs/", "]("),
    (r"\]\((\.\./)*LICENSE\)", "](LICENSE.md)"),
    (r"\]\(CITATION\.cff\)", "](NOTICE.md#how-to-cite)"),
    (r"\]\((\.\./)+(CONTRIBUTING|CHANGELOG|NOTICE|SECURITY)\.md", r"](\2.md"),
)
"""What leads out of ``docs/`` in the project leads to its page in the site."""


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    for page, name in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "reference.md", content=reference()))
    return files


def on_page_markdown(markdown: str, page: Any, **further: Any) -> str:
    """Links as they are in the site."""
    for pattern, to in LINKS:
        markdown = re.sub(pattern, to, markdown)
    return markdown


def reference() -> str:
    """The names that ``import nas`` hands on, and the packages below, from their docstrings."""
    tree = ast.parse((ROOT / "nas" / "__init__.py").read_text(encoding="utf-8"))
    where: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_WHERE":
            where = ast.literal_eval(node.value)
    blocks = [
        f"::: {target.replace(':', '.')}\n"
        f"    options: {{heading_level: 2, heading: nas.{name}, toc_label: nas.{name}}}\n"
        for name, target in sorted(where.items())
    ]
    for package in ("search_spaces", "lut", "supernet"):
        exported = all_of(package)
        blocks.append(f"## {package}\n")
        blocks += [
            f"::: {package}.{name}\n    options:\n      heading_level: 3\n" for name in exported
        ]
    return "# Reference\n\nMade from the docstrings.\n\n" + "\n".join(blocks)


def all_of(package: str) -> list[str]:
    """``__all__`` of a package."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    return []
