"""Training plans: TOML files checked by pydantic."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from restorekit.core.config import Config
from restorekit.errors import OptionError, unknown
from restorekit.models.config import EpsilonConfig, ModelConfig, NoisyClassifierConfig, ScoreConfig
from restorekit.training.spared import KINDS as SPARED_KINDS
from restorekit.training.spared import Kind as SparedKind

FAMILIES: dict[str, type[BaseModel]] = {
    "epsilon": EpsilonConfig,
    "score": ScoreConfig,
    "classifier": NoisyClassifierConfig,
}
# What stands for the names of the classes in a plan that takes them from its data.
FROM_FOLDERS = "folders"
Positive = Annotated[float, Field(gt=0)]
# Of Muon (Jordan et al. 2024).
MOMENTUM = 0.95


class DataPlan(Config):
    """A folder of photos and what is cut from it."""

    folder: Path
    """Images of any size in it and in its sub-folders; a relative path starts where the command is run. Of a named
    dataset: where torchvision keeps it."""
    dataset: Literal["folder", "mnist", "cifar10", "celeba"] = "folder"
    """A folder of photos, or the training split of a dataset of torchvision."""
    download: bool = False
    """Fetch a named dataset that is not there yet."""
    center: int | None = Field(None, ge=8)
    """Cut a square of this side, or as large as there is, out of the middle first."""
    resize: int | None = Field(None, ge=8)
    """Then scale to a square of this side."""
    crop: int = Field(64, ge=8)
    flip: bool = True
    rotate: bool = True
    """Quarter turns."""
    dequantize: bool = False
    """Spread every 8-bit value k over its step: (k + U) / 256 in [0, 1], as NCSN does."""
    labels: Literal["folders"] | Path | None = None
    """Where the classes of model.classes come from: the name of the sub-folder of data.folder that an image lies in, or
    a CSV file of lines "path below data.folder,class"."""
    cache: bool = True
    """Decode every photo once and keep it as 8-bit values on the training device; without, workers decode each crop."""
    workers: int = Field(2, ge=0)

    @model_validator(mode="after")
    def _dataset_is_cached(self) -> DataPlan:
        if self.dataset != "folder" and not self.cache:
            raise ValueError(f"data.cache is false, but data.dataset is {self.dataset!r}; allowed: true")
        if self.dataset != "folder" and self.labels is not None:
            raise ValueError(f"data.labels is {self.labels}, but data.dataset is {self.dataset!r}; allowed: null")
        return self


class NoisePlan(Config):
    """Which noise levels are trained how often."""

    distribution: Literal["uniform-t", "lognormal"] = "uniform-t"
    """uniform-t is Ho et al.'s, and Song and Ermon's on their levels; lognormal is Karras et al.'s (2022, table 1)."""
    mean: float = -1.2
    std: Positive = 1.2
    """Mean and standard deviation of log sigma."""
    uniform_share: float = Field(0.0, ge=0, le=1)
    """Share of the lognormal's draws that are taken uniformly from the trained steps instead."""
    partial_share: float = Field(0.0, ge=0, le=1)
    """Share of crops whose noise spares some pixels (see `training/spared.py`); needs model.partial_noise."""
    partial_mean: float = -0.4
    partial_std: Positive = 1.0
    """Mean and standard deviation of log sigma of these crops."""
    partial_masks: tuple[SparedKind, ...] = Field(SPARED_KINDS, min_length=1)
    """Kinds of masks of the noise, each as often as it stands here."""
    partial_ceiling: Positive = 0.4
    """Squared errors of D count at least 1 / partial_ceiling^2 in these crops, so that holes without any information
    count too."""
    unknown_share: float = Field(0.0, ge=0, le=1)
    """Share of these crops in which nothing is known of the pixels that are not spared (sigma = inf); needs
    model.looks."""


class LossPlan(Config):
    """What is compared, and how levels are weighted."""

    objective: Literal["denoising", "sliced", "vlb"] = "denoising"
    """denoising compares D with the clean image; a network with a learned variance (net.out_channels is twice the
    channels) adds the variational bound to it (the hybrid loss of Nichol and Dhariwal 2021), vlb is the bound alone,
    with importance sampling of the steps. sliced matches the score of the noisy images along random directions (Song et
    al. 2019, arXiv 1905.07088, with variance reduction), at 3 times the cost."""
    label_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the labels that become "none" (Ho and Salimans 2022); needs net.classes one above the names."""
    norm: Literal["l2", "l1"] = "l2"
    weighting: Literal["simple", "p2", "min-snr"] = "simple"
    p2_gamma: Positive = 1.0
    p2_k: Positive = 1.0
    """Choi et al. 2022 (arXiv 2204.00227, equation 8)."""
    snr_gamma: Positive = 5.0
    """Hang et al. 2023 (arXiv 2303.09556, section 3.4)."""


class OptimizerPlan(Config):
    """The optimizer and its learning rate."""

    name: Literal["muon", "adamw"] = "muon"
    """muon updates weights of at least 16 x 16 by orthogonalized momentum (Jordan et al. 2024) and all others by AdamW;
    adamw updates all by AdamW."""
    lr: Positive = 4e-4
    """Of both kinds of updates of muon, which have about the same size (Liu et al. 2025, arXiv 2502.16982)."""
    momentum: float = Field(MOMENTUM, ge=0, lt=1)
    """Nesterov momentum of muon."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled, of all parameters."""
    clip: Positive | None = 1.0
    """Largest gradient norm; null for none."""
    warmup: int = Field(200, ge=0)
    decay: Literal["cosine", "linear", "none"] = "cosine"
    """cosine and linear fall to zero at the last step."""

    @model_validator(mode="after")
    def _momentum_counts(self) -> OptimizerPlan:
        if self.name == "adamw" and self.momentum != MOMENTUM:
            raise ValueError(
                f"optimizer.momentum is {self.momentum:g}, but optimizer.name is 'adamw'; allowed: {MOMENTUM:g}"
            )
        return self


class RunPlan(Config):
    """Length, batch, and what is written when."""

    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    """Per process; times `accumulate` and the number of processes for one step of the optimizer."""
    accumulate: int = Field(1, ge=1)
    ema: float = Field(0.999, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    channels_last: bool = True
    compile: bool = False
    seed: int = 0
    log_steps: int = Field(20, ge=1)
    save_minutes: Positive = 10.0
    sample_minutes: Positive | None = 30.0
    """A grid of DDIM samples this often; null for none."""
    weights: Literal["float16", "float32"] = "float16"


class CardPlan(Config):
    """What the model card says beside what was measured."""

    name: str
    license: str = "apache-2.0"
    data: str
    """Sources and terms of the training data."""


class Plan(Config):
    """One training, whole."""

    card: CardPlan
    model: ModelConfig = EpsilonConfig()
    data: DataPlan
    noise: NoisePlan = NoisePlan()
    loss: LossPlan = LossPlan()
    optimizer: OptimizerPlan = OptimizerPlan()
    run: RunPlan

    @model_validator(mode="after")
    def _crop_fits(self) -> Plan:
        if self.data.crop % self.model.net.factor:
            raise ValueError(f"data.crop is {self.data.crop}, allowed: multiples of {self.model.net.factor}")
        self._labels_fit()
        if self.loss.objective == "sliced" and (self.loss.norm, self.loss.weighting) != ("l2", "simple"):
            raise ValueError("loss.objective is 'sliced'; allowed beside it: norm 'l2', weighting 'simple'")
        if self.loss.objective == "sliced" and self.model.partial_noise:
            raise ValueError("loss.objective is 'sliced', but model.partial_noise is true; allowed: false")
        self._loss_counts()
        if isinstance(self.model, ScoreConfig) and self.noise.distribution != "uniform-t":
            raise ValueError(
                f"noise.distribution is {self.noise.distribution!r}, but model.family is 'score';"
                " allowed: 'uniform-t', its levels"
            )
        if (self.noise.partial_share > 0) != self.model.partial_noise:
            raise ValueError(
                f"noise.partial_share is {self.noise.partial_share:g}, but model.partial_noise is "
                f"{self.model.partial_noise}; allowed: both or neither"
            )
        looks = getattr(self.model, "looks", 0)
        if (self.noise.unknown_share > 0) != (looks > 0):
            share = f"{self.noise.unknown_share:g}"
            raise ValueError(f"noise.unknown_share is {share}, but model.looks is {looks}; allowed: both or neither")
        return self

    def _loss_counts(self) -> None:
        """Keys that the objective of the model would not look at are refused."""
        plain, learned = LossPlan(), getattr(self.model, "learned_variance", False)
        idle: tuple[str, ...] = ()
        if isinstance(self.model, NoisyClassifierConfig):
            idle = tuple(LossPlan.model_fields)
            if self.data.dequantize:
                raise ValueError("data.dequantize is true, but model.family is 'classifier'; allowed: false")
        elif learned:
            idle = ("norm", "weighting")
            if self.loss.objective == "sliced":
                raise ValueError("loss.objective is 'sliced', but the network learns a variance; allowed: others")
        for name in idle:
            if getattr(self.loss, name) != getattr(plain, name):
                what = "model.family is 'classifier'" if not learned else "the network learns a variance"
                allowed = getattr(plain, name)
                raise ValueError(f"loss.{name} is {getattr(self.loss, name)!r}, but {what}; allowed: {allowed!r}")
        if self.loss.objective == "sliced" and getattr(self.model, "self_conditioned", False):
            raise ValueError("loss.objective is 'sliced', but model.self_conditioned is true; allowed: false")
        if self.loss.objective == "sliced" and self.model.classes is not None:
            raise ValueError("loss.objective is 'sliced', but model.classes is given; allowed: no classes")

    def _labels_fit(self) -> None:
        classes, learned = self.model.classes, getattr(self.model, "learned_variance", False)
        if (classes is None) != (self.data.labels is None):
            raise ValueError(
                f"data.labels is {self.data.labels}, but model.classes is {classes}; allowed: both or neither"
            )
        if (self.loss.label_dropout > 0) != (getattr(self.model, "no_label", None) is not None):
            raise ValueError(
                f"loss.label_dropout is {self.loss.label_dropout:g}; allowed: above 0 exactly when net.classes is one"
                " above the number of names in classes"
            )
        if self.loss.objective == "vlb" and not learned:
            raise ValueError("loss.objective is 'vlb'; allowed with net.out_channels twice model.channels")
        if learned and self.noise.distribution != "uniform-t":
            raise ValueError("a learned variance is trained on all steps; allowed: noise.distribution 'uniform-t'")
        if learned and getattr(self.model, "looks", 0):
            raise ValueError(f"model.looks is {getattr(self.model, 'looks', 0)}, but a variance is learned; allowed: 0")
        if self.loss.objective == "vlb" and self.model.partial_noise:
            raise ValueError("loss.objective is 'vlb', but model.partial_noise is true; allowed: false")


def read_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """The plan in a TOML file, with `a.b=value` overrides; OptionError names what does not fit."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"{path}: not a readable TOML plan ({error})") from error
    for override in overrides:
        _apply(raw, override)
    _name_classes(raw)
    try:
        return Plan.model_validate(_with_null(raw))
    except ValidationError as error:
        raise OptionError(f"{path}: {_explain(error)}") from error


def _name_classes(raw: dict[str, Any]) -> None:
    """`model.classes = "folders"` becomes the sorted names of the sub-folders of data.folder."""
    model, data = raw.get("model"), raw.get("data")
    if not isinstance(model, dict) or model.get("classes") != FROM_FOLDERS:
        return
    folder = Path(str(data.get("folder", ""))) if isinstance(data, dict) else Path()
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not names:
        raise OptionError(
            f"model.classes is {FROM_FOLDERS!r}, but data.folder, {folder}, has no folders (in {Path.cwd()})"
        )
    model["classes"] = names


def _with_null(value: Any) -> Any:
    """TOML has no null: the word "null" stands for it."""
    if isinstance(value, dict):
        return {key: _with_null(inner) for key, inner in value.items()}
    return None if value == "null" else value


def _apply(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise OptionError(f"--set {override!r}: allowed: key.subkey=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {})
        if not isinstance(raw, dict):
            raise OptionError(f"--set {override!r}: {parent!r} is a value, not a section")
    raw[last] = value


def _explain(error: ValidationError) -> str:
    """The first problem of a plan in one line."""
    first = error.errors()[0]
    *parents, last = [str(part) for part in first["loc"]] or ["plan"]
    keys = _keys(parents)
    parents = [part for part in parents if part not in FAMILIES]
    where = ".".join([*parents, last])
    if first["type"] == "extra_forbidden":
        return unknown("key", last, keys, ".".join(parents) or "the plan")
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    return f"{where}: {first['msg']} (found {json.dumps(first['input'], default=str)})"


def _keys(parents: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Plan
    for parent in parents:
        annotation = FAMILIES[parent] if parent in FAMILIES else model.model_fields[parent].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
