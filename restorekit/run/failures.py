"""Why a photo failed, in one line."""

from __future__ import annotations

import errno

from restorekit.errors import RestorekitError
from restorekit.plugins.discovery import plugin_files
from restorekit.plugins.plugin_errors import PluginError
from restorekit.priors.batched import is_out_of_memory
from restorekit.run.mirror import with_urls
from restorekit.run.runner import Runner

# Errors of the file system after which no other photo can be written either.
FULL = {errno.ENOSPC: "no space left", errno.EDQUOT: "disk quota exceeded", errno.EROFS: "read-only file system"}


def failure_message(error: Exception, runner: Runner) -> str:
    """Return one line that describes why a photo failed, with the position in the code of a plugin."""
    text = with_urls(" ".join(str(error).split()))
    if isinstance(error, RestorekitError):
        return text
    if is_out_of_memory(error):
        return f"out of memory on {runner.engine.device}; reduce --tile or --batch"
    own = [] if runner.recipe.position is None else [runner.recipe.position[0]]
    return f"{PluginError(error, [*own, *plugin_files()])}; --debug shows the traceback"


def full_disk(error: BaseException | None) -> str:
    """Return why no photo can be written any more, or an empty string."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return FULL[error.errno]
        error = error.__cause__
    return ""
