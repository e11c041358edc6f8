"""From a file to the app in it. Whatever is wrong with the file is one sentence that names the place.

`where` is `retail.py`, or for a wheel `shop-1.0-py3-none-any.whl`; `app` is what the app is called in it: a variable,
or the app's own name; for a wheel `module` or `module:app`. Empty: the only one that there is.
"""

import importlib
import importlib.util
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from cluster.errors import InvalidApp, InvalidRoute
from cluster.processing.app import App

T = TypeVar("T")


def load_app(path: Path, app: str) -> App:
    """The app in a Python file or a wheel. InvalidApp: the file does not import, or there is no such app in it."""
    if path.suffix == ".toml":
        return load_route_file(path)
    if path.suffix == ".whl":
        sys.path.insert(0, str(path))
        module, _, name = app.partition(":")
        module = module or _only_package(path)
        found = _guarded(lambda: importlib.import_module(module), path, module)
        return _app_in(found, name, f"{module} of {path.name}", "; if another module has it, say which (module:app)")
    return _app_in(_guarded(lambda: _import_file(path), path), app, path.name)


def load_route_file(path: Path) -> App:
    """The routes in a file, as an app. InvalidApp, with all that is wrong with it."""
    from cluster.connectors.registry import Registry  # noqa: PLC0415  most code is no route file
    from cluster.processing.routes.as_app import app_of  # noqa: PLC0415
    from cluster.processing.routes.reading import load_routes  # noqa: PLC0415

    try:
        return app_of(load_routes(path.read_text(encoding="utf-8"), path.name, Registry()))
    except (InvalidRoute, UnicodeDecodeError) as error:
        raise InvalidApp(str(error)) from error


def load_module(module: str, app: str) -> App:
    """The app in a module that can be imported. InvalidApp: it does not import, or there is no such app in it."""
    return _app_in(_guarded(lambda: importlib.import_module(module), Path(module), module), app, module)


def _guarded(load: Callable[[], T], path: Path, module: str = "") -> T:
    try:
        return load()
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise InvalidApp(f"{path.name} does not import: {_told(error, path)}{_hint(error, module)}") from error


def _hint(error: BaseException, module: str) -> str:
    """`module`: what was to be imported in the first place."""
    if not isinstance(error, ModuleNotFoundError) or f"{module}.".startswith(f"{error.name}."):
        return ""
    if error.name == "pyarrow":
        return "; it comes with riverrun[arrow]"
    return "; an app is one file, or a wheel of several, and what else it imports is installed where its nodes run"


def _import_file(path: Path) -> ModuleType:
    """As a module of the file's name, or, where that is another's already, of one that is nobody's."""
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"app_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "its name ends with .py"
    assert spec.loader is not None, "likewise"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # types find the names in their annotations there
    spec.loader.exec_module(module)
    return module


def _only_package(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as wheel:
            tops = {name.split("/")[0] for name in wheel.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidApp(f"{path.name} is no wheel: {error}") from error
    names = sorted({top.removesuffix(".py") for top in tops if not top.endswith((".dist-info", ".data"))})
    if len(names) != 1:
        raise InvalidApp(
            f"{path.name} holds {', '.join(names) or 'nothing'}: say which module has the app (module:app)"
        )
    return names[0]


def _app_in(module: ModuleType, name: str, where: str, hint: str = "") -> App:
    found = {variable: value for variable, value in vars(module).items() if isinstance(value, App)}
    apps = {id(value): value for value in found.values()}
    if not apps:
        raise InvalidApp(f'{where} defines no app: it needs one, such as `app = App("retail")`{hint}')
    if not name:
        if len(apps) > 1:
            raise InvalidApp(f"{where} defines several apps ({', '.join(found)}): say which one")
        return next(iter(apps.values()))
    if name in found:
        return found[name]
    for value in apps.values():
        if value.name == name:
            return value
    raise InvalidApp(f"{where} defines no app {name!r}; it has {', '.join(found)}")


def _told(error: BaseException, path: Path) -> str:
    """The exception, and where in the file it was."""
    if isinstance(error, InvalidApp):
        what = error.message
    elif isinstance(error, SystemExit):
        what = f"it ends the process (SystemExit: {error})"
    else:
        what = f"{type(error).__name__}: {_one_line(error)}"
    place = _place(error, path)
    return f"{place}: {what}" if place else what


def _one_line(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) and error.msg else str(error)
    return " ".join(text.split()) or "no message"


def _place(error: BaseException, path: Path) -> str:
    """The innermost line that is the file's own."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"line {error.lineno} of {_inside(error.filename, path)}"
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename.startswith(str(path)) or Path(frame.filename).stem == path.name:
            return f"line {frame.lineno} of {_inside(frame.filename, path)}"
    return ""


def _inside(filename: str, path: Path) -> str:
    """The file's name; of one in a wheel, its path there."""
    inner = filename.removeprefix(str(path)).lstrip("/")
    return inner or path.name
