"""Parameters of a recipe, from the signature and the docstring of its function.

`restorekit --help` imports this module, which therefore does not import torch.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args, get_origin

from restorekit.core.docstrings import split_docstring
from restorekit.core.options import (
    ImageOption,
    JpegTables,
    ModelOption,
    NetworkOption,
    Option,
    Parameter,
    SolverOption,
    Spec,
)

# Positional parameters of every recipe, in this order.
POSITIONAL = ("y", "prior", "noise")
TYPES = (
    "int, float, bool with a default, Literal of words or of integers, number | Literal; Tensor or Tensor | None for a "
    "side image"
)
SPECS = "Option, ImageOption, ClassOption, ModelOption, NetworkOption, SolverOption or JpegTables"


class _Tensor:
    """Stands for torch.Tensor in annotations of a module that imports it for type checkers only."""


def parameters_of(function: Callable[..., Any], where: str) -> tuple[Parameter, ...]:
    """Return the options and side images of a recipe; TypeError if the signature is not that of a recipe.

    where: start of the error message.
    """
    signature = inspect.signature(function).parameters
    if tuple(signature)[: len(POSITIONAL)] != POSITIONAL:
        raise TypeError(f"{where}: found parameters {tuple(signature)}, allowed: {POSITIONAL} first")
    texts = split_docstring(inspect.getdoc(function) or "")[1]
    hints = _hints(function, where)
    options = list(signature.values())[len(POSITIONAL) :]
    return tuple(_parameter(where, p, hints.get(p.name), texts.get(p.name, "")) for p in options)


def _hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    """Return the type hints; names that are imported for type checkers only are replaced by others."""
    others = ("Denoiser", "Noise", "ImageNoise", "NoisyClassifier", "Solver", "TiledNetwork")
    known = getattr(function, "__globals__", {})
    names = {"Tensor": _Tensor, "torch": types.SimpleNamespace(Tensor=_Tensor), **dict.fromkeys(others, object)}
    missing = {name: value for name, value in names.items() if name not in known}
    try:
        return typing.get_type_hints(function, localns=missing, include_extras=True)
    except NameError as error:
        allowed = "a name that the module defines or imports, not only for type checkers"
        raise TypeError(
            f"{where}: an annotation contains {error.name!r}, which is not defined; allowed: {allowed}"
        ) from (None)


def _parameter(where: str, parameter: inspect.Parameter, hint: Any, text: str) -> Parameter:
    """Return the description of a parameter.

    hint: its type; None without an annotation. text: its description in the docstring, used if its option has none.
    """
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        allowed = "one keyword-only parameter with a type for every option"
        raise TypeError(f"{where}: found {parameter.replace(annotation=parameter.empty)}, allowed: {allowed}")
    where = f"{where}: parameter {parameter.name!r}"
    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        raise TypeError(f"{where} is not keyword-only; allowed: options after a bare *")
    if hint is None:
        example = type(parameter.default).__name__ if type(parameter.default) in (int, float, bool) else "float"
        raise TypeError(f"{where} has no type; allowed: an annotation, such as {parameter.name}: {example}")
    name = next((name for name in POSITIONAL if parameter.name == f"{name}_"), parameter.name)
    spec = _spec(hint, where)
    if not spec.help:
        spec = replace(spec, help=text)
    if isinstance(spec, ModelOption | SolverOption | JpegTables):
        return _with_default(spec, name, parameter, where)
    if isinstance(spec, NetworkOption) and parameter.default is not inspect.Parameter.empty:
        raise TypeError(f"{where} has a default; allowed: none, since the weights are a file of the user")
    if not isinstance(spec, Option):
        return Parameter(name, spec, default=parameter.default)
    annotation = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    kind, words = _kind(annotation)
    if kind is None or (parameter.default is inspect.Parameter.empty and kind is bool):
        raise TypeError(f"{where}: allowed types: {TYPES}")
    choices = get_args(annotation) if kind is int and get_origin(annotation) is Literal else ()
    found = Parameter(name, spec, kind, words, parameter.default, choices, annotation)
    found.check_default(where)
    return found


def _spec(hint: Any, where: str) -> Spec:
    """Return the option that the annotation contains or, for a plain type, one without help and range."""
    if get_origin(hint) is not Annotated:
        return ImageOption() if _is_tensor(hint) else Option()
    spec = next((m for m in hint.__metadata__ if isinstance(m, Spec)), None)
    if spec is None:
        raise TypeError(f"{where} has no option; allowed: a plain type, or Annotated[type, option], option: {SPECS}")
    return spec


def _with_default(
    spec: ModelOption | SolverOption | JpegTables, name: str, parameter: inspect.Parameter, where: str
) -> Parameter:
    """Return the description of a parameter whose default is that of its option."""
    if parameter.default is not inspect.Parameter.empty:
        kinds = "ModelOption(help, model), SolverOption(help, solver), JpegTables(help)"
        raise TypeError(f"{where} has a default; allowed: {kinds}")
    if isinstance(spec, JpegTables):
        return Parameter(name, spec, int, ("auto",), "auto")
    return Parameter(name, spec, default=spec.model if isinstance(spec, ModelOption) else spec.solver)


def _is_tensor(hint: Any) -> bool:
    """Return True for Tensor and Tensor | None."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        return len(parts) == 1 and _is_tensor(parts[0])
    # torch is not imported, because this module must be fast to import.
    return hint is _Tensor or (getattr(hint, "__module__", ""), getattr(hint, "__name__", "")) == ("torch", "Tensor")


def _kind(hint: Any) -> tuple[type | None, tuple[str, ...]]:
    """Return the type of an option, None if it is not allowed, and its words."""
    if hint in (int, float, bool):
        return hint, ()
    if get_origin(hint) is Literal:
        words = get_args(hint)
        if all(type(word) is int for word in words):
            return int, ()
        return (str, words) if all(isinstance(word, str) for word in words) else (None, ())
    if get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_kind(part) for part in get_args(hint) if part is not type(None)]
        kinds = {kind for kind, _ in parts if kind not in (str, None)}
        if len(kinds) == 1:
            return kinds.pop(), tuple(word for _, words in parts for word in words)
    return None, ()
