import ast
import importlib
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import keras_regen

ROOT = pathlib.Path(keras_regen.__file__).parents[1]
PACKAGES = [
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in sorted(ROOT.glob("keras_regen/**/__init__.py"))
]


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names():
    assert set(keras_regen.__all__) < set(dir(keras_regen))
    for name in dir(keras_regen):
        assert getattr(keras_regen, name) is not None
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = keras_regen.nonsense


def test_the_package_and_its_command_do_not_import_keras():
    run("import sys, keras_regen.cli; assert 'keras' not in sys.modules")


def test_after_keras_the_classes_are_registered():
    run(
        "import keras, keras_regen; "
        "assert keras.saving.get_registered_object('keras_regen>Regen')"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_says_is_public_can_be_imported(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_editors_see_every_public_name():
    # A name that is imported on first use is also imported for type checkers.
    for package in PACKAGES:
        path = ROOT.joinpath(*package.split("."), "__init__.py")
        tree = ast.parse(path.read_text())
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        seen = {alias.asname or alias.name for n in imports for alias in n.names}
        seen |= {n.name for n in tree.body if hasattr(n, "name")}
        assert set(importlib.import_module(package).__all__) <= seen, package


def test_no_lazy_name_is_also_the_name_of_its_module():
    # Importing the module would put it in the place of the name.
    for package in PACKAGES:
        path = ROOT.joinpath(*package.split("."), "__init__.py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == (
                "lazy_exports"
            ):
                origin = ast.literal_eval(node.args[2])
                assert not [name for name in origin if name == origin[name]]


def test_nothing_outside_a_package_imports_what_is_not_public():
    private = []
    for folder in ("keras_regen", "tools", "examples"):
        for path in (ROOT / folder).glob("**/*.py"):
            own = ".".join(path.relative_to(ROOT).parts[:2])
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.ImportFrom) or not node.module:
                    continue
                package = ".".join(node.module.split(".")[:2])
                if package not in PACKAGES or package == own:
                    continue
                # Modules inside a package have no `__all__`: nothing there is public.
                module = importlib.import_module(node.module)
                public = getattr(module, "__all__", ())
                names = [alias.name for alias in node.names if alias.name not in public]
                private += [f"{path}: {node.module}.{name}" for name in names]
    assert not private


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_dependency_has_a_lower_bound():
    extras = PROJECT["optional-dependencies"].values()
    for requirement in [*PROJECT["dependencies"], *(r for e in extras for r in e)]:
        assert ">=" in requirement or requirement.startswith("keras-regen[")


def test_all_is_every_extra_of_a_user():
    extras = PROJECT["optional-dependencies"]

    def included(name):
        names = {name}
        for requirement in extras[name]:
            if match := re.fullmatch(r"keras-regen\[(.+)\]", requirement):
                names |= {n for part in match[1].split(",") for n in included(part)}
        return names

    assert included("all") == set(extras) - {"dev", "docs", "test"}
