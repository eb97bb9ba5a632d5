"""Model configurations: the header of a weights file, and the network and prior that are built from it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import torch
from pydantic import Discriminator, Field, Tag, TypeAdapter, model_validator

from restorekit.core.config import Config
from restorekit.core.ladders import geometric_ladder
from restorekit.models.schedule import SIGMA_RANGE
from restorekit.models.schedule import ScheduleConfig as ScheduleConfig
from restorekit.nets.classifier import Classifier, ClassifierConfig
from restorekit.nets.ncsn import NCSN, NCSNConfig
from restorekit.nets.unet import UNet, UNetConfig
from restorekit.priors.epsilon import EpsilonPrior, Prediction
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.score import Data, ScorePrior

# Largest side of an image, and largest number of its channels.
MAX_SIDE, MAX_CHANNELS = 1_000_000, 1024
# The class of a blind prior: degraded by JPEG compression only.
JPEG = "jpeg"


def _class_line(classes: tuple[str, ...]) -> str:
    """Return the line of the model card with the names of the classes, at most 20 of them."""
    names = classes if len(classes) <= 20 else (*classes[:3], "...", classes[-1])
    return f"- {len(classes)} class{'' if len(classes) == 1 else 'es'}: {', '.join(names)}."


class EpsilonConfig(Config):
    """Configuration of a DDPM or guided diffusion prior."""

    family: Literal["epsilon"] = "epsilon"
    net: UNetConfig = UNetConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    prediction: Prediction = "eps"
    nearest_steps: bool = False
    """The network receives the nearest trained step, for networks that only know integer steps."""
    channels: int = Field(3, ge=1, le=MAX_CHANNELS)
    size: int | None = Field(64, ge=1, le=MAX_SIDE)
    """Side of the training windows; a local network (see `UNetConfig.is_local`) accepts any size."""
    classes: tuple[str, ...] | None = None
    low_res_factor: int | None = Field(None, ge=1, le=64)
    """Upsampling factor of the low-resolution image that a network with `net.low_res` receives."""
    partial_noise: bool = False
    """The prior was also trained on noise that leaves some pixels clean. The network has two additional input channels:
    where the noise is, and which pixels are unknown."""
    passes: int = Field(0, ge=0, le=100)
    """Number of passes of the network over a hole (sigma = inf), each on the result of the previous pass; 0 if it was
    not trained on holes. Requires partial_noise."""

    self_conditioned: bool = False
    """The network receives the result of a first pass in `channels` additional input channels (Chen et al. 2022, arXiv
    2208.04202), which takes two evaluations."""

    @model_validator(mode="after")
    def _check_channels(self) -> EpsilonConfig:
        inputs = self.channels * (2 if self.self_conditioned else 1) + (2 if self.partial_noise else 0)
        if self.net.in_channels != inputs:
            reason = "channels, partial_noise, self_conditioned"
            raise ValueError(f"net.in_channels is {self.net.in_channels}, allowed: {inputs} ({reason})")
        if self.net.out_channels not in (self.channels, 2 * self.channels):
            allowed = f"{self.channels}, or {2 * self.channels} with a learned variance"
            raise ValueError(f"net.out_channels is {self.net.out_channels}, allowed: {allowed}")
        if self.passes and not self.partial_noise:
            raise ValueError(f"passes is {self.passes}, but partial_noise is false; allowed: 0")
        if self.passes and self.self_conditioned:
            raise ValueError(f"passes is {self.passes}, but self_conditioned is true; allowed: one of them")
        if self.net.low_res != (self.low_res_factor is not None):
            raise ValueError(f"low_res_factor is {self.low_res_factor}, allowed: a number if net.low_res, else null")
        if self.net.low_res and (self.partial_noise or self.self_conditioned or self.blind):
            raise ValueError(
                "net.low_res is true, allowed: false with partial_noise, self_conditioned or noise_estimator"
            )
        extensions = ("partial_noise", "self_conditioned", "learned_variance")
        found = [name for name in extensions if getattr(self, name)] if self.blind else []
        if found:
            raise ValueError(
                f"net.noise_estimator is {self.net.noise_estimator}, but {found[0]} is given; allowed: one of them"
            )
        if self.blind and self.classes is not None and (self.classes != (JPEG,) or self.no_label is None):
            given = f"classes is {list(self.classes)} and net.classes {self.net.classes}"
            raise ValueError(f"{given}, but net.noise_estimator is given; allowed: null, or [{JPEG!r}] and 2")
        count = None if self.classes is None else len(self.classes)
        if self.net.classes != count and (count is None or self.net.classes != count + 1):
            raise ValueError(f"net.classes is {self.net.classes}, allowed: the number of names in classes, or one more")
        return self

    @property
    def learned_variance(self) -> bool:
        """True if the network has a second half of output channels, which interpolates the variance."""
        return self.net.out_channels == 2 * self.channels

    @property
    def blind(self) -> bool:
        """True if the prior estimates the level of the noise itself."""
        return self.net.noise_estimator is not None

    @property
    def no_label(self) -> int | None:
        """The label that means "no class", for a network with one class more than there are names."""
        return len(self.classes) if self.classes is not None and self.net.classes == len(self.classes) + 1 else None

    def describe(self) -> str:
        """Return the lines of the model card."""
        net, schedule = self.net, self.schedule
        shape = f"{net.channels} channels, multipliers {list(net.multipliers)}, {net.blocks} blocks per level"
        partial = "\n- Also trained on noise that leaves some pixels clean (partial noise)."
        return (
            f"- Network: U-Net, {shape}.\n"
            f"{f'- Upsampler by a factor of {self.low_res_factor}.' + chr(10) if net.low_res else ''}"
            f"- Process: {schedule.kind} schedule, {schedule.steps} steps, predicts {self.prediction}"
            f"{' and the variance of a reverse step' if self.learned_variance else ''}"
            f"{', self-conditioned' if self.self_conditioned else ''}"
            f"{', blind (estimates sigma)' if self.blind else ''}."
            f"{partial if self.partial_noise else ''}"
            f"{'' if self.classes is None else chr(10) + _class_line(self.classes)}"
        )

    def build_net(self) -> UNet:
        """Return the network with newly initialized weights."""
        return UNet(self.net)

    def build(self, net: UNet | None = None) -> EpsilonPrior:
        """Return the prior with a network; None for one with newly initialized weights."""
        return EpsilonPrior(
            self.build_net() if net is None else net,
            self.schedule.table(),
            prediction=self.prediction,
            channels=self.channels,
            size=None if self.net.is_local else self.size,
            classes=self.classes,
            no_label=self.no_label,
            low_res_factor=self.low_res_factor,
            partial_noise=self.partial_noise,
            passes=self.passes,
            learned_variance=self.learned_variance,
            self_conditioned=self.self_conditioned,
            blind=self.blind,
            time_scale=self.schedule.time_scale,
            nearest_steps=self.nearest_steps,
            multiple=self.net.factor,
        )


class LevelsConfig(Config):
    """The noise levels of a score network: a geometric sequence, in the unit of `ScoreConfig.data`."""

    first: float = Field(1.0, ge=SIGMA_RANGE[0], le=SIGMA_RANGE[1])
    last: float = Field(0.01, ge=SIGMA_RANGE[0], le=SIGMA_RANGE[1])
    count: int = Field(10, ge=1, le=10_000)

    @model_validator(mode="after")
    def _check_levels(self) -> LevelsConfig:
        if self.count > 1 and self.last >= self.first:
            raise ValueError(f"levels.last is {self.last:g}, allowed: less than levels.first, {self.first:g}")
        return self

    def sigmas(self) -> torch.Tensor:
        """Return the levels: (count,), decreasing, float64."""
        return geometric_ladder(self.first, self.last, self.count)[:-1]


class _PlainConfig(Config):
    """A model configuration without the extensions that only `EpsilonConfig` has."""

    passes: ClassVar[int] = 0
    self_conditioned: ClassVar[bool] = False
    blind: ClassVar[bool] = False
    learned_variance: ClassVar[bool] = False
    no_label: ClassVar[int | None] = None


class ScoreConfig(_PlainConfig):
    """Configuration of an NCSN prior."""

    family: Literal["score"] = "score"
    net: NCSNConfig = NCSNConfig()
    levels: LevelsConfig = LevelsConfig()
    data: Data = "unit"
    """What the network was trained on: "unit", images in [0, 1]; "signed", images in [-1, 1] (`rescaled` in NCSNv2);
    "logits", logits of images (`logit_transform`), for which the prior can only be sampled."""
    divide: bool = False
    """The score is the network's output divided by sigma (NCSNv2)."""
    channels: int = Field(3, ge=1, le=MAX_CHANNELS)
    size: int | None = Field(32, ge=1, le=MAX_SIDE)
    """Side of the training windows."""

    prediction: Literal["eps"] = "eps"
    """sigma * score = -eps: denoising score matching weighted by sigma^2 is the eps loss."""
    partial_noise: Literal[False] = False
    classes: None = None

    @model_validator(mode="after")
    def _check_shapes(self) -> ScoreConfig:
        if self.net.channels != self.channels:
            raise ValueError(f"net.channels is {self.net.channels}, allowed: {self.channels} (channels)")
        if self.net.rescale and self.data != "unit":
            raise ValueError(f"net.rescale is true, allowed with data '{self.data}': false")
        if self.net.levels not in (None, self.levels.count):
            raise ValueError(f"net.levels is {self.net.levels}, allowed: {self.levels.count} (levels.count), or null")
        return self

    def describe(self) -> str:
        """Return the lines of the model card."""
        norms = "one set of norms per level" if self.net.levels else "norms without levels (NCSNv2)"
        sigmas = [f"{sigma:.3g}" for sigma in self.levels.sigmas().tolist()]
        shown = sigmas if len(sigmas) <= 20 else [*sigmas[:3], "...", sigmas[-1]]
        network = f"NCSN's dilated RefineNet, {self.net.features} features, {len(self.net.stages)} stages, {norms}"
        space = {"unit": "in [0, 1]", "signed": "in [-1, 1]", "logits": "of logits"}[self.data]
        line = f"- Network: {network}.\n- {len(sigmas)} levels {space}: {', '.join(shown)}."
        return line + "\n- A prior of logits: for restorekit sample only." if self.data == "logits" else line

    def build_net(self) -> NCSN:
        """Return the network with newly initialized weights."""
        return NCSN(self.net)

    def build(self, net: NCSN | None = None) -> ScorePrior:
        """Return the prior with a network; None for one with newly initialized weights."""
        return ScorePrior(
            self.build_net() if net is None else net,
            self.levels.sigmas(),
            data=self.data,
            divide=self.divide,
            channels=self.channels,
            size=self.size,
            multiple=self.net.factor,
        )


class NoisyClassifierConfig(_PlainConfig):
    """Configuration of a classifier of noisy images."""

    family: Literal["classifier"] = "classifier"
    net: ClassifierConfig
    schedule: ScheduleConfig = ScheduleConfig()
    classes: tuple[str, ...]
    channels: int = Field(3, ge=1, le=MAX_CHANNELS)
    partial_noise: Literal[False] = False

    @model_validator(mode="after")
    def _check_shapes(self) -> NoisyClassifierConfig:
        if self.net.classes != len(self.classes):
            raise ValueError(f"net.classes is {self.net.classes}, allowed: {len(self.classes)} (the names in classes)")
        if self.net.in_channels != self.channels:
            raise ValueError(f"net.in_channels is {self.net.in_channels}, allowed: {self.channels} (channels)")
        return self

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.net.size

    def describe(self) -> str:
        """Return the lines of the model card."""
        net = self.net
        shape = f"{net.channels} channels, multipliers {list(net.multipliers)}, {net.blocks} blocks per level"
        return f"- Network: U-Net encoder, {shape}, {net.pool} pooling.\n{_class_line(self.classes)}"

    def build_net(self) -> Classifier:
        """Return the network with newly initialized weights."""
        return Classifier(self.net)

    def build(self, net: Classifier | None = None) -> NoisyClassifier:
        """Return the classifier with a network; None for one with newly initialized weights."""
        return NoisyClassifier(
            self.build_net() if net is None else net,
            self.schedule.table(),
            classes=self.classes,
            size=self.net.size,
            channels=self.channels,
            time_scale=self.schedule.time_scale,
        )


Prior: TypeAlias = EpsilonPrior | ScorePrior


def _family(value: Any) -> Any:
    return value.get("family", "epsilon") if isinstance(value, dict) else getattr(value, "family", None)


ModelConfig: TypeAlias = Annotated[
    Annotated[EpsilonConfig, Tag("epsilon")]
    | Annotated[ScoreConfig, Tag("score")]
    | Annotated[NoisyClassifierConfig, Tag("classifier")],
    Discriminator(_family),
]
MODEL: TypeAdapter[EpsilonConfig | ScoreConfig | NoisyClassifierConfig] = TypeAdapter(ModelConfig)
