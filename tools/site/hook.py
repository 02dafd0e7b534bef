"""MkDocs hook: adds the pages of the site that are not in docs/, and follows links.

The README, `ARCHITECTURE.md`, the notebooks and the API reference are pages without a
copy of their text in docs/. Links in all pages are written as GitHub needs them,
relative to the file in the repository; the hook turns them into links within the site,
or to GitHub for what is not on the site.
"""

import ast
import os
import pathlib
import posixpath
import re
import tempfile

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = "keras_regen"
# Files outside docs/, and where they are on the site.
PLACES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/reconstruct.webp": "examples/reconstruct.webp",
    "examples/serving/README.md": "tf-serving.md",
    "keras_regen/assets/ATTRIBUTION.md": "attribution.md",
}
# If this is set, notebooks are run and shown with their outputs.
RUN_NOTEBOOKS = "SITE_RUNS_NOTEBOOKS"

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")


def on_config(config):
    """Adds the reference, and guides that `mkdocs.yml` does not list, to the pages."""
    listed = str(config.nav)
    guides = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    pages = {
        "API": sorted(reference(), key=lambda place: (place != "api/index.md", place)),
        "Guides": [name for name in guides if name not in listed],
    }
    for section in config.nav:
        for title, added in pages.items():
            if title in section:
                section[title] += added
    return config


def on_files(files, config):
    """Adds the pages and pictures from outside docs/."""
    for source, place in PLACES.items():
        text = (ROOT / source).read_bytes()
        files.append(File.generated(config, place, content=text))
    for card in presets():
        text = _without_front_matter((ROOT / card).read_text())
        files.append(File.generated(config, _place(card), content=text))
    for notebook in notebooks():
        for place, content in _convert(ROOT / notebook).items():
            files.append(File.generated(config, place, content=content))
    for place, text in reference().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrites the links of a page."""
    source = _sources().get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def target(match):
        path, anchor = match[1], match[2] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        place = _place(path)
        if files.get_file_from_path(place):
            folder = posixpath.dirname(page.file.src_uri)
            return posixpath.relpath(place, folder or ".") + anchor
        if (ROOT / path).exists():
            kind = "tree" if (ROOT / path).is_dir() else "blob"
            return f"{config.repo_url}/{kind}/main/{path}{anchor}"
        # MkDocs reports it.
        return match[0]

    return _LINK.sub(target, markdown)


def presets():
    """Returns the model cards of the bundled presets."""
    return _found(f"{PACKAGE}/presets/*/README.md")


def notebooks():
    """Returns the notebooks."""
    return _found("examples/notebooks/*.ipynb")


def reference():
    """Returns the pages of the API reference, a dict from place to text."""
    _, shortcuts, packages = _public(PACKAGE)
    pages, rows, origin = {}, [], {}
    for package in packages:
        summary, members, modules = _public(f"{PACKAGE}/{package}")
        origin |= {name: f"{package}.{name}" for name in members}
        parts = [f"# {PACKAGE}.{package}", _documented(f"{PACKAGE}/{package}", members)]
        for module in modules:
            path = f"{PACKAGE}/{package}/{module}"
            members = _public(path)[1] if (ROOT / path).is_dir() else None
            parts += [f"## {path.replace('/', '.')}", _documented(path, members)]
        pages[f"api/{package}.md"] = "\n\n".join(parts) + "\n"
        rows.append(f"| [`{PACKAGE}.{package}`]({package}.md) | {summary} |")
    links = [
        f"- `kr.{name}` is [`{origin[name]}`][{PACKAGE}.{origin[name]}]"
        for name in shortcuts
    ]
    pages["api/index.md"] = "\n".join(
        [
            f"# {PACKAGE}",
            "",
            "Everything here is public; nothing else is. The classes that most scripts "
            "need are at the top: after `import keras_regen as kr`,",
            "",
            *links,
            "",
            "| package | |",
            "|---|---|",
            *rows,
            "",
        ]
    )
    return pages


def _documented(path, names):
    """Returns what makes mkdocstrings document a module, or names of a package."""
    lines = [f"::: {path.replace('/', '.')}"]
    if names is not None:
        lines += ["    options:", "      members:", *(f"        - {n}" for n in names)]
    return "\n".join(lines)


def _public(package):
    """Returns what a package says of itself.

    Returns:
        The first line of its docstring, the names in its `__all__` that it imports from
        its files, and those that are its modules.
    """
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    modules, public = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == package.replace(
            "/", "."
        ):
            modules |= {alias.name for alias in node.names}
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            public = ast.literal_eval(node.value)
    members = [name for name in public if name not in modules]
    summary = ast.get_docstring(tree).splitlines()[0]
    return summary, members, [name for name in public if name in modules]


def _convert(path):
    """Converts a notebook to Markdown; returns a dict from place to content."""
    import nbformat
    from nbconvert import MarkdownExporter

    notebook = nbformat.read(path, as_version=4)
    if os.environ.get(RUN_NOTEBOOKS):
        from nbclient import NotebookClient

        with tempfile.TemporaryDirectory() as folder:
            resources = {"metadata": {"path": folder}}
            NotebookClient(notebook, timeout=600, resources=resources).execute()
    place = _place(path.relative_to(ROOT).as_posix())
    resources = {"output_files_dir": pathlib.PurePath(place).stem}
    text, resources = MarkdownExporter().from_notebook_node(notebook, resources)
    title, _, rest = text.partition("\n")
    name = path.relative_to(ROOT).as_posix()
    text = f"{title}\n\nThis page is the notebook [{path.name}](../../{name}).\n{rest}"
    folder = posixpath.dirname(place)
    outputs = resources["outputs"].items()
    return {place: text} | {f"{folder}/{file}": data for file, data in outputs}


def _place(path):
    """Returns where a file of the repository is on the site, if it is there."""
    if path in PLACES:
        return PLACES[path]
    if path.endswith(".ipynb"):
        return f"notebooks/{pathlib.PurePath(path).stem}.md"
    if path.startswith(f"{PACKAGE}/presets/"):
        return f"presets/{path.split('/')[2]}.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"


def _sources():
    """Returns a dict from places on the site to files outside docs/."""
    paths = [*PLACES, *presets(), *notebooks()]
    return {_place(path): path for path in paths}


def _found(pattern):
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def _without_front_matter(card):
    return card.split("---\n", 2)[-1].lstrip()
