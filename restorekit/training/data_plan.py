"""The part of a training plan that describes the training images and their crops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from restorekit.core.config import Config

# The upper bounds only exclude mistakes.
MAX_CROP, MAX_SIDE, MAX_SHARDS = 2048, 10**6, 10**6
# A range of numbers in data.shards, as {000000..000099}.
RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
# Values of data.labels for shards.
SHARD_LABELS = ("cls", "json")


def expand_ranges(pattern: str) -> list[str]:
    """Return the texts that a pattern stands for: "a-{08..11}" for a-08, a-09, a-10, a-11.

    ValueError if other braces occur, or if there are too many texts.
    """
    texts = [""]
    for number, part in enumerate(RANGE.split(pattern)):
        if number % 3 == 0:
            if set(part) & set("{}"):
                raise ValueError(f"found {pattern!r}, allowed: ranges such as {{000000..000099}}")
            texts = [text + part for text in texts]
        elif number % 3 == 1:
            first = part
        else:
            numbers = range(int(first), int(part) + 1)
            if not 0 < len(numbers) * len(texts) <= MAX_SHARDS:
                raise ValueError(f"found {len(numbers) * len(texts)} shards in {pattern!r}, allowed: 1 to {MAX_SHARDS}")
            texts = [f"{text}{value:0{len(first)}}" for text in texts for value in numbers]
    return texts


class DataPlan(Config):
    """The training images and their crops."""

    folder: Path | None = None
    """Folder of images of any size, searched recursively; a relative path is relative to the working directory. For a
    named dataset: its root folder in torchvision."""
    shards: str | None = None
    """Tar files in the format of webdataset instead of a folder, paths or URLs of fsspec; {000000..000099} stands for
    numbers (see `training/shards.py`). They are streamed: cache is not used."""
    shuffle_megabytes: int = Field(100, ge=1, le=2**20)
    """Size of the buffer of image files in which the order of the samples of shards is shuffled, per process."""
    dataset: Literal["folder", "mnist", "cifar10", "celeba"] = "folder"
    """A folder of photos, or the training split of a dataset of torchvision."""
    download: bool = False
    """Whether to download a named dataset that does not exist yet."""
    center: int | None = Field(None, ge=8, le=MAX_SIDE)
    """Side of the center crop that is taken first, at most that of the image; null for none."""
    resize: int | None = Field(None, ge=8, le=MAX_CROP)
    """Side to which that crop is resized; null for none."""
    crop: int = Field(64, ge=8, le=MAX_CROP)
    flip: bool = True
    rotate: bool = True
    """Whether to rotate by multiples of 90 degrees."""
    by_area: bool = False
    """Whether photos are chosen in proportion to their area; otherwise all are chosen equally often."""
    dequantize: bool = False
    """Whether to add uniform noise within each 8-bit step: (k + U) / 256 in [0, 1], as NCSN does."""
    labels: Literal["folders", "cls", "json"] | Path | None = None
    """Source of the class of each image: "folders" for the name of its subfolder of data.folder, or a CSV file with
    lines "path relative to data.folder,class". For shards: "cls" or "json" for the file with this suffix."""
    cache: bool = True
    """Whether to decode every image once and keep it as 8-bit values on the training device; otherwise workers decode
    the image of each crop."""
    workers: int = Field(2, ge=0, le=256)

    @property
    def shard_urls(self) -> list[str]:
        """The paths and URLs of the shards, [] without shards."""
        return [] if self.shards is None else expand_ranges(self.shards)

    @model_validator(mode="after")
    def _check_source(self) -> DataPlan:
        if self.folder is None and self.shards is None:
            raise ValueError("data.folder is missing; allowed: data.folder or data.shards")
        if self.shards is None:
            if self.labels in SHARD_LABELS:
                raise ValueError(f"data.labels is {self.labels!r}; allowed with data.shards")
            return self
        try:
            expand_ranges(self.shards)
        except ValueError as error:
            raise ValueError(f"data.shards: {error}") from error
        if self.labels not in (None, *SHARD_LABELS):
            raise ValueError(f"data.labels is {str(self.labels)!r}; allowed with data.shards: 'cls', 'json' or null")
        for name in ("folder", "dataset", "by_area"):
            default = DataPlan.model_fields[name].default
            if getattr(self, name) != default:
                found, allowed = getattr(self, name), "null" if default is None else default
                raise ValueError(f"data.{name} is {found}, but data.shards is given; allowed: {allowed}")
        return self

    @model_validator(mode="after")
    def _check_dataset(self) -> DataPlan:
        if self.dataset != "folder" and not self.cache:
            raise ValueError(f"data.cache is false, but data.dataset is {self.dataset!r}; allowed: true")
        if self.dataset != "folder" and self.labels is not None:
            raise ValueError(f"data.labels is {self.labels}, but data.dataset is {self.dataset!r}; allowed: null")
        return self


class ValidationPlan(Config):
    """Photos that are not in the training data, on which the average is evaluated at every checkpoint."""

    folder: Path
    """Folder of photos, searched recursively; their center crops of data.crop pixels are used."""
    photos: int = Field(16, ge=1, le=10**4)
    """Largest number of photos, spread evenly over the folder."""
    sigmas: tuple[Annotated[float, Field(gt=0, le=255)], ...] = Field((25.0,), min_length=1, max_length=20)
    """Noise levels in 8-bit grey levels; the closest ones for a prior that knows only some."""
