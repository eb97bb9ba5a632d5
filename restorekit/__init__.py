"""restorekit: restore folders of real photos with generative priors.

The public names are listed in `__init__.pyi`. Each is imported when it is first used, so that `import restorekit` and
`restorekit --help` do not load torch. Every recipe, including those of plugins, is also a function here:
`restorekit.denoise(...)`, `restorekit.inpaint(...)`.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import lazy_loader

__version__ = "0.1.0"

_public, _list_public, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _public(name)
    if name.startswith("_") or importlib.util.find_spec(f"restorekit.{name}") is not None:
        # `from restorekit import module` calls this function first and then imports the module.
        raise AttributeError(name)
    from restorekit.plugins.discovery import recipes
    from restorekit.run.api import python_function

    found = recipes().get(name.replace("_", "-"))
    if found is None:
        message = f"module 'restorekit' has no attribute or recipe {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])  # Python names a similar one
    return python_function(found)


def __dir__() -> list[str]:
    from restorekit.plugins.discovery import recipes

    return sorted({"__version__", *_list_public(), *(name.replace("-", "_") for name in recipes())})
