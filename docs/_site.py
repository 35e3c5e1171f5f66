"""mkdocs hooks: the READMEs of the repository become pages where they lie, with the files that they link to.

Pages keep their place in the repository, so that one relative link serves both a reader of the repository and the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "agents/*/README.md", "generative/*/README.md", "core/tl/README.md")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Put every plugin's README under Experiments."""
    plugins = [_found(pattern) for pattern in PAGES[2:4]]
    for entry in config["nav"]:
        if "Experiments" in entry:
            entry["Experiments"] = [
                {title: [{Path(page).parent.name.replace("_", "-"): page} for page in pages]}
                for title, pages in zip(("Agents", "Generative models"), plugins, strict=True)
            ]
        if "Contributing" in entry:
            config["nav"].insert(config["nav"].index(entry), {"TensorLayer's utilities": "core/tl/README.md"})
            break
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, and what they and the pages in docs/ link to."""
    waiting = [page for pattern in PAGES for page in _found(pattern)]
    for path in Path(config["docs_dir"]).glob("*.md"):
        waiting += _targets(path)
    while waiting:
        name = waiting.pop()
        path = ROOT / name
        if files.get_file_from_path(name) is None and path.is_file() and not path.is_relative_to(config["docs_dir"]):
            files.append(File.generated(config, name, abs_src_path=str(path)))
            waiting += _targets(path) if path.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links go from docs/ to the rest of the repository and back: here they stand beside each other."""
    inside = Path(page.file.abs_src_path or "").is_relative_to(config["docs_dir"])
    return markdown.replace("](../", "](") if inside else re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)


def _found(pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def _targets(path: Path) -> list[str]:
    """Return the files of the repository that a page links to."""
    found = []
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        target = (path.parent / link).resolve()
        if ":" not in link and target.is_file() and target.is_relative_to(ROOT):
            found.append(target.relative_to(ROOT).as_posix())
    return found
