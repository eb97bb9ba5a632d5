"""What a visitor asks for: a recipe with options, as a request for each of the photos and as a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from restorekit.core.options import ImageOption
from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError
from restorekit.run.formats import Encoding
from restorekit.run.session import Request
from restorekit.run.settings import Settings
from restorekit.run.side_images import Reading, readings
from restorekit.ui.form import MODEL, check_number
from restorekit.ui.masks import mask_for, mask_parameter
from restorekit.ui.visitor import Upload, Visitor

# Largest number of results per photo on the page, which shows all of them.
MAX_SAMPLES = 64


@dataclass(frozen=True)
class Order:
    """What to do with photos.

    Attributes:
        recipe: the recipe.
        options: values of its options and side images by name, as the form contains them; empty fields are missing.
        readings: values of `invert_NAME`, `NAME_channel` and `resize_NAME`, by name.
        model: the prior; None for the default of the recipe.
        seed, samples: see `Request`.
        format: output format; None for that of each photo.
        quality: quality of lossy formats; None for the default.
    """

    recipe: Recipe
    options: Mapping[str, Any] = field(default_factory=dict)
    readings: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    seed: int = 0
    samples: int = 1
    format: str | None = None
    quality: int | None = None

    def request(self, inputs: Sequence[str | Path], output: str | Path | None, device: str, **settings: Any) -> Request:
        """Return the request of a run.

        settings: of `Settings`, which has defaults for them.
        """
        return Request(
            self.recipe,
            tuple(inputs),
            output,
            self.model,
            {p.name: self.options.get(p.name, None if p.required else p.default) for p in self.recipe.parameters},
            Settings(self.seed, readings=self.read(), encoding=Encoding(self.quality), **settings),
            self.samples,
            self.format,
            device=device,
        )

    def read(self) -> dict[str, Reading]:
        """Return how side images are read, by name."""
        return readings(self.recipe, self.readings)

    def command(self, photo: str, masks: Mapping[str, str]) -> str:
        """Return the command that writes the same file.

        photo: name of the photo. masks: names of the files of side images, by option.
        """
        words = ["restorekit", self.recipe.name, photo]
        for parameter in self.recipe.parameters:
            name, flag = parameter.name, parameter.name.replace("_", "-")
            value = masks.get(name, self.options.get(name))
            if parameter.kind is bool and value is not None and value != parameter.default:
                words.append(f"--{'' if value else 'no-'}{flag}")
            elif value is not None and value != parameter.default and str(value) != str(parameter.default):
                text = Path(value).name if isinstance(parameter.spec, ImageOption) else value
                words += [f"--{flag}", f"{text:g}" if isinstance(text, float) else str(text)]
        for name, reading in self.read().items():
            flag = name.replace("_", "-")
            words += [f"--invert-{flag}"] if reading.inverted else []
            words += [f"--{flag}-channel", reading.channel] if reading.channel != "auto" else []
            words += [f"--resize-{flag}"] if reading.resized else []
        common = {"model": self.model, "seed": self.seed or None, "format": self.format, "output-quality": self.quality}
        common["samples"] = self.samples if self.samples > 1 else None
        for flag, value in common.items():
            words += [] if value is None or value == self.recipe.model else [f"--{flag}", str(value)]
        return shlex.join([*words, "-o", "restored"])


def make_order(recipe: Recipe, values: Mapping[str, Any], common: Mapping[str, Any]) -> Order:
    """Return the order of a form; OptionError if a number is not allowed.

    values: those of the fields of the recipe that are not empty. common: "seed", "samples", "format", "quality".
    """
    options = {p.name: values[p.name] for p in recipe.parameters if p.name in values}
    where = recipe.name
    return Order(
        recipe,
        options,
        {name: value for name, value in values.items() if name not in options and name != MODEL},
        values.get(MODEL),
        check_number(common.get("seed"), f"{where} seed", 0, None, 0) or 0,
        check_number(common.get("samples"), f"{where} samples", 1, MAX_SAMPLES, 1) or 1 if recipe.samples else 1,
        common.get("format") or None,
        check_number(common.get("quality"), f"{where} quality", 1, 100, None),
    )


@dataclass(frozen=True)
class PhotoOrder:
    """What to do with one photo of a visitor.

    Attributes:
        upload: the photo.
        request: its request, which writes to a new folder.
        order: the order, with the mask of the photo.
        masks: files of its side images, by option.
    """

    upload: Upload
    request: Request
    order: Order
    masks: Mapping[str, Path]


def photo_orders(visitor: Visitor, order: Order, device: str) -> list[PhotoOrder]:
    """Return what to do with every photo of a visitor; OptionError if there is none, or one has no mask."""
    if not visitor.uploads:
        raise OptionError(f"{order.recipe.name}: no photo to restore; drop one first")
    painted = mask_parameter(order.recipe)
    orders = []
    for upload in visitor.uploads:
        mine, masks = order, {name: Path(path) for name, path in order.options.items() if _is_image(order, name)}
        if painted is not None and (painted.required or upload.painted is not None or upload.mask_file is not None):
            name = painted.name
            path, reading = mask_for(visitor, upload, painted, order.recipe, order.read()[name])
            masks[name] = path
            given = {f"invert_{name}": reading.inverted, f"{name}_channel": reading.channel}
            given[f"resize_{name}"] = reading.resized
            mine = replace(order, options={**order.options, name: path}, readings={**order.readings, **given})
        folder = visitor.new_folder("result")
        # One photo at a time: the page shows its progress, and it stops at once.
        request = mine.request([upload.path], folder, device, batch=1)
        orders.append(PhotoOrder(upload, request, mine, masks))
    return orders


def _is_image(order: Order, name: str) -> bool:
    return any(parameter.name == name for parameter in order.recipe.side_images)
