"""mkdocs hooks: pages from the repository's root, notebooks, one API page for each package, links to source files."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

from markdown import Extension, Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


class NoHtml(Extension):
    """`<run>` in a docstring is text, no tag of HTML."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.deregister("html_block")
        md.inlinePatterns.deregister("html")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    for source, page in COPIED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=LINK.sub(_from_the_root, text)))
    for page, text in api_pages().items():
        files.append(File.generated(config, page, content=text))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for page, content in notebook_pages(notebook).items():
            files.append(File.generated(config, page, content=content))
    return files


def notebook_pages(notebook: Path) -> dict[str, str | bytes]:
    """A page with the cells and their stored outputs, and the images that it shows."""
    files: dict[str, str | bytes] = {}
    parts = []
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for number, cell in enumerate(content["cells"]):
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{notebook.stem}-{number}.png"
                files[f"notebooks/{name}"] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![Output of this cell]({name})")
            else:
                parts.append("```text\n" + "".join(output.get("text", data.get("text/plain", ""))).rstrip() + "\n```")
    outputs = (
        "with the outputs of a run in the toy world" if "executed" in content["metadata"] else "without outputs yet"
    )
    source = f"*A [notebook](../../notebooks/{notebook.name}) {outputs}.*"
    return files | {f"notebooks/{notebook.stem}.md": "\n\n".join([parts[0], source, *parts[1:]]) + "\n"}


def _from_the_root(link: re.Match[str]) -> str:
    """A link of a page in the repository's root, as it is from docs/."""
    mark, text, target = link.groups()
    if "://" in target or target.startswith("#"):
        return link[0]
    path, hash_, anchor = target.partition("#")
    inside = COPIED.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}")
    if path.startswith("notebooks/"):
        inside = path.replace(".ipynb", ".md")
    return f"{mark}[{text}]({inside}{hash_}{anchor})"


def api_pages() -> dict[str, str]:
    """One page for each package with its public modules; `wsvs` itself has `load` and the model that it returns."""
    pages = {"api/wsvs.md": "# wsvs\n\n::: wsvs\n\n::: wsvs.api\n"}
    for folder in sorted(path.parent for path in (ROOT / "wsvs").glob("*/__init__.py")):
        names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
        modules = "\n\n".join(f"::: wsvs.{folder.name}.{name}" for name in names)
        pages[f"api/{folder.name}.md"] = f"# wsvs.{folder.name}\n\n::: wsvs.{folder.name}\n\n{modules}\n"
    return pages


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: Any) -> str:
    """Links to files outside docs/ lead to the repository, or are plain text where its address is not known."""

    def to_source(link: re.Match[str]) -> str:
        _, text, target = link.groups()
        if notebook := re.fullmatch(r"\.\./(notebooks/\w+)\.ipynb", target):
            return f"[{text}]({notebook[1]}.md)"
        if not target.startswith("../") or target.startswith("../api/"):
            return link[0]
        inside = re.sub(r"^(\.\./)+", "", target)
        return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{inside})" if config.repo_url else text

    return LINK.sub(to_source, re.sub(r"<!--.*?-->\n?", "", markdown, flags=re.DOTALL))


def on_config(config: MkDocsConfig, **_: Any) -> MkDocsConfig:
    config.repo_url = config.repo_url or os.environ.get("REPO_URL")  # the workflow sets it
    config.markdown_extensions.append(NoHtml())
    config.nav = [*(config.nav or ()), {"API": [{Path(page).stem: page} for page in api_pages()]}]
    return config
