"""The command line in the process of a test."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from unittest import mock

from restorekit.core.denoiser import Denoiser


def run_command(*words: object, prior: Denoiser | None = None) -> tuple[int, str, str]:
    """Run `restorekit WORDS`: (exit code, standard output, standard error).

    prior: stands in for whatever prior the command would load.
    """
    from restorekit import cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["restorekit", *map(str, words)]))
        stack.enter_context(mock.patch.dict(os.environ, {"COLUMNS": "200"}))
        if prior is not None:
            stack.enter_context(mock.patch("restorekit.models.registry.load_prior", return_value=prior))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            cli.main()
        except SystemExit as left:
            code = left.code
        else:
            code = 0
    return int(code or 0), out.getvalue(), err.getvalue()
