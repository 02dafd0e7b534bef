"""The site's own code; `mkdocs build --strict` checks its pages."""

import re

import keras
import pytest

import keras_regen

pytest.importorskip("mkdocs")
pytest.importorskip("griffe")
hook = pytest.importorskip("tools.site.hook")
keras_docstrings = pytest.importorskip("tools.site.keras_docstrings")

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="it does not depend on the backend"
)

DOCSTRING = """Does one thing.

Args:
    units: int. Width,
        at least 1.
    **kwargs: the rest.

Call arguments:
    x: a tensor.

Output shape:
    `(B, units)`.

Example:

>>> thing = Thing(1)
>>> thing(2)
3

Reference:
    A paper, *Of Note*.
"""
MARKDOWN = """Does one thing.

**Args**

- `units`: int. Width,
    at least 1.
- `**kwargs`: the rest.

**Call arguments**

- `x`: a tensor.

**Output shape**

`(B, units)`.

**Example**

```pycon
>>> thing = Thing(1)
>>> thing(2)
3
```

**Reference**

A paper, *Of Note*.

"""


def test_sections_of_keras_become_markdown():
    assert keras_docstrings.to_markdown(DOCSTRING) == MARKDOWN


def test_the_reference_has_every_public_name_and_no_other():
    pages = hook.reference()
    assert pages.keys() == {
        "api/index.md",
        *(f"api/{n}.md" for n in keras_regen.__all__ if n.islower() and "_" not in n),
    }
    for name in ("codec", "metrics", "training"):
        module = getattr(keras_regen, name)
        listed = re.findall(r"^        - (\w+)$", pages[f"api/{name}.md"], re.MULTILINE)
        assert set(listed) == set(module.__all__) - {"distribution"}
    assert "## keras_regen.training.distribution" in pages["api/training.md"]
    assert "[`models.Regen`][keras_regen.models.Regen]" in pages["api/index.md"]


def test_links_follow_files_to_the_site_or_to_github():
    class Page:
        class file:
            src_uri = "codec.md"

    class Config:
        repo_url = "https://host/repo"

    class Files:
        def get_file_from_path(self, path):
            return path in ("results.md", "tf-serving.md")

    text = (
        "[a](results.md#grid) [b](../examples/serving/README.md) [c](../keras_regen) "
        "[d](../README.md) [e](https://x.y) [f](#here) [g](missing.md)"
    )
    assert hook.on_page_markdown(text, Page, Config, Files()) == (
        "[a](results.md#grid) [b](tf-serving.md) "
        "[c](https://host/repo/tree/main/keras_regen) "
        "[d](https://host/repo/blob/main/README.md) "
        "[e](https://x.y) [f](#here) [g](missing.md)"
    )
