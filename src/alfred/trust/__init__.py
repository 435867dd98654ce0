"""Pure judgements about bytes, names and places: what may be fetched, opened, shown, kept secret.

Nothing here keeps state, except that `redact` remembers the secret values it was told of. The four public
names are loaded at first use (PEP 562), so that asking for one does not pay for what the others need.

`display` and `redact` are both a module and the function of that name in it. Importing a submodule binds
its name here, so which of the two a caller gets would depend on who imported what before; the two modules
are therefore callable (`callable_module`), and `display(text)` and `display.display(text)` are the same.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alfred.trust.paths import open_beneath
    from alfred.trust.urls import check_url

__all__ = ["check_url", "display", "open_beneath", "redact"]

_FUNCTIONS = {"check_url": "urls", "open_beneath": "paths"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_FUNCTIONS.get(name, name)}")
    found = getattr(module, name) if name in _FUNCTIONS else module
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def callable_module(name: str) -> None:
    """Makes the module `a.b.c` callable as its function `c`."""
    short = name.rpartition(".")[2]

    class CallableModule(types.ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.__dict__[short](*args, **kwargs)

    sys.modules[name].__class__ = CallableModule
