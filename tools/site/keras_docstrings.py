"""Griffe extension: turns docstrings in Keras's style into Markdown."""

import re

import griffe

# Sections of named items, and sections of text.
LISTS = ("Args", "Attributes", "Call arguments", "Raises")
TEXTS = (
    "Example",
    "Examples",
    "Input shape",
    "Output shape",
    "Reference",
    "Returns",
    "Yields",
)
# Longest value of a constant that is shown, in characters.
MAX_VALUE = 100
_TITLES = "|".join((*LISTS, *TEXTS))
_SECTION = re.compile(rf"^({_TITLES}):\n(.*?)(?=^\S[^\n]*:\n|\Z)", re.M | re.S)
_ITEM = re.compile(r"^(\*{0,2}[\w.]+):", re.M)
_DOCTEST = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.M | re.S)


class KerasDocstrings(griffe.Extension):
    """Rewrites the docstrings; the comment above a constant is its docstring."""

    def on_object(self, *, obj, loader, **kwargs):
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)

    def on_attribute(self, *, attr, loader, **kwargs):
        if not attr.parent.is_module or not attr.name.isupper():
            return
        comment = _comment_above(attr.parent.filepath, attr.lineno)
        if comment and not attr.docstring:
            attr.docstring = griffe.Docstring(comment, parent=attr)
        if len(str(attr.value)) > MAX_VALUE:
            attr.value = None


def to_markdown(docstring):
    """Turns a docstring in Keras's style into Markdown.

    Titles of sections become bold, the items of `Args` and the like a list, and
    doctests code.
    """
    return _SECTION.sub(_section, docstring)


def _comment_above(path, number):
    """Returns the comment that ends above a line of a file."""
    comment = []
    for line in reversed(path.read_text().splitlines()[: number - 1]):
        if not line.startswith("# "):
            break
        comment.insert(0, line.removeprefix("# "))
    return " ".join(comment)


def _section(match):
    title, body = match.groups()
    body = _dedented(body.strip("\n"))
    if title in LISTS:
        # Lines that continue an item are indented already.
        body = _ITEM.sub(r"- `\1`:", body)
    else:
        body = _DOCTEST.sub(lambda code: f"```pycon\n{code[0].rstrip()}\n```", body)
    return f"**{title}**\n\n{body}\n\n"


def _dedented(text):
    lines = text.splitlines()
    indent = min((len(s) - len(s.lstrip()) for s in lines if s.strip()), default=0)
    return "\n".join(line[indent:] for line in lines)
