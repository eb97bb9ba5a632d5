"""Masks that visitors paint on a preview or load from a file."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from restorekit.core.options import ImageOption, Parameter
from restorekit.core.recipe import Recipe
from restorekit.core.thread_warnings import record_warnings
from restorekit.errors import OptionError, RestorekitWarning
from restorekit.run.images import read_photo
from restorekit.run.side_images import Reading, read_side_image
from restorekit.ui.visitor import Upload, Visitor

Marked = NDArray[np.bool_]
# Colour of marked pixels in the editor, and half the opacity of the brush, above which a pixel counts as marked.
COLOUR, OPACITY = (255, 40, 90), 160
MARKED = OPACITY // 2


def mask_parameter(recipe: Recipe) -> Parameter | None:
    """Return the mask that visitors can paint, which is the first one of the recipe; None if there is none."""
    masks = [p for p in recipe.side_images if isinstance(p.spec, ImageOption) and p.spec.is_mask]
    return masks[0] if masks else None


def painted_pixels(value: Mapping[str, Any] | None) -> Marked | None:
    """Return the marked pixels (H, W) of an editor.

    value: `layers` are RGBA arrays (H, W, 4). Returns None if nothing is marked.
    """
    layers = [layer for layer in (value or {}).get("layers") or [] if layer is not None]
    marked = [np.asarray(layer)[..., 3] > MARKED for layer in layers]
    found: Marked | None = np.logical_or.reduce(marked) if marked else None
    return found if found is not None and found.any() else None


def layer_of(marked: Marked) -> NDArray[np.uint8]:
    """Return the layer (H, W, 4) of the editor that shows marked pixels (H, W)."""
    layer = np.zeros((*marked.shape, 4), np.uint8)
    layer[marked] = (*COLOUR, OPACITY)
    return layer


def remember(upload: Upload, value: Mapping[str, Any] | None) -> None:
    """Store what the editor shows as the mask of a photo, unless the editor shows another photo."""
    if value is None or value.get("background") is None:
        return
    height, width = np.asarray(value["background"]).shape[:2]
    if (width, height) == upload.preview_size:
        upload.painted = painted_pixels(value)


def load_mask(upload: Upload, file: Path, parameter: Parameter, reading: Reading) -> list[str]:
    """Read a mask file for a photo, as the command does, and show it in the editor.

    file: a file in the folder of the visitor. Returns notes on how it is read; raises ImageError if it cannot be used.
    """
    assert isinstance(parameter.spec, ImageOption)
    photo = read_photo(upload.path)
    with record_warnings(RestorekitWarning) as notes:
        mask = read_side_image(file, parameter.spec, photo, parameter.name, reading)[0, 0].numpy() > 0.5
    # Thin scratches do not disappear.
    upload.mask_file, upload.loaded = file, _resized(mask, upload.preview_size, Image.Resampling.BOX, 0)
    upload.painted = upload.loaded if upload.loaded.any() else None
    return [str(note) for note in notes]


def forget(upload: Upload) -> None:
    """Remove the mask of a photo."""
    upload.mask_file = upload.loaded = upload.painted = None


def mask_for(
    visitor: Visitor, upload: Upload, parameter: Parameter, recipe: Recipe, reading: Reading
) -> tuple[Path, Reading]:
    """Return the mask of a photo at full size, and how the run reads it; OptionError if nothing is marked.

    A file that was loaded and not edited is used as it is. Otherwise the painted mask is scaled to the size of the
    photo; where it agrees with the loaded file, the file is used, which is finer than the preview.
    """
    if upload.mask_file is not None and upload.loaded is not None and _equal(upload.painted, upload.loaded):
        return upload.mask_file, reading
    if upload.painted is None:
        raise OptionError(f"{recipe.name}: the {parameter.name} of {upload.name} is empty; paint it or load a file")
    mask = _resized(upload.painted, upload.size, Image.Resampling.BILINEAR)
    if upload.mask_file is not None and upload.loaded is not None:
        assert isinstance(parameter.spec, ImageOption)
        plain = Reading(False, reading.channel, reading.resized)
        photo = read_photo(upload.path)
        with record_warnings(RestorekitWarning):
            loaded = read_side_image(upload.mask_file, parameter.spec, photo, parameter.name, plain)
        edited = _resized(upload.painted != upload.loaded, upload.size, Image.Resampling.NEAREST)
        mask = np.where(edited, mask, loaded[0, 0].numpy() > 0.5)
    path = visitor.folder / f"mask-{secrets.token_urlsafe(12)}" / f"{Path(upload.name).stem}_mask.png"
    path.parent.mkdir()
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return path, Reading(reading.inverted)


def _equal(painted: Marked | None, loaded: Marked) -> bool:
    return not loaded.any() if painted is None else np.array_equal(painted, loaded)


def _resized(marked: Marked, size: tuple[int, int], method: Image.Resampling, threshold: float = 0.5) -> Marked:
    """Return marked pixels (H, W) at another (width, height).

    method: BILINEAR for smooth edges, NEAREST for blocks, BOX for a smaller size. threshold: what fraction of a pixel
    must be marked.
    """
    if marked.shape[::-1] == size:
        return marked
    image = Image.fromarray(marked.astype(np.uint8) * 255)
    found: Marked = np.asarray(image.resize(size, method)) > 255 * threshold
    return found
