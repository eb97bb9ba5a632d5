"""Training plans: TOML files checked by pydantic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from restorekit.core.config import Config
from restorekit.models.config import EpsilonConfig, ModelConfig, NoisyClassifierConfig, ScoreConfig
from restorekit.training.data_plan import DataPlan, ValidationPlan
from restorekit.training.degradation_plan import MARGIN, REDUCTION, DegradationPlan, DistillationPlan
from restorekit.training.noise_masks import KINDS as MASK_KINDS
from restorekit.training.noise_masks import Kind as MaskKind

Positive = Annotated[float, Field(gt=0)]
# The upper bounds of a plan only exclude mistakes. Mean and standard deviation of log sigma, and the exponents of a
# weight, are bounded so that float32 can represent the result.
LogSigma = Annotated[float, Field(ge=-20, le=20)]
LogSpread = Annotated[float, Field(gt=0, le=5)]
Exponent = Annotated[float, Field(gt=0, le=10)]
Beta = Annotated[float, Field(ge=0, lt=1)]
# One line without control characters.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
MAX_STEPS, MAX_BATCH = 10**9, 2**16
MAX_PARAMETERS = 10**10
# Default momentum of Muon (Jordan et al. 2024).
MOMENTUM = 0.95


class NoisePlan(Config):
    """Distribution of the noise levels."""

    distribution: Literal["uniform-t", "lognormal"] = "uniform-t"
    """uniform-t is Ho et al.'s, and Song and Ermon's on their levels; lognormal is Karras et al.'s (2022, table 1)."""
    mean: LogSigma = -1.2
    std: LogSpread = 1.2
    """Mean and standard deviation of log sigma."""
    uniform_share: float = Field(0.0, ge=0, le=1)
    """Fraction of levels that are sampled uniformly from the trained steps instead of the lognormal distribution."""
    partial_share: float = Field(0.0, ge=0, le=1)
    """Fraction of crops with some clean pixels (see `training/noise_masks.py`); requires model.partial_noise."""
    partial_mean: LogSigma = -0.4
    partial_std: LogSpread = 1.0
    """Mean and standard deviation of log sigma in these crops."""
    partial_masks: tuple[MaskKind, ...] = Field(MASK_KINDS, min_length=1, max_length=100)
    """Kinds of noise masks; a kind that is listed more often is sampled more often."""
    partial_ceiling: float = Field(0.4, ge=1e-4, le=1e4)
    """Squared errors of D in these crops have a weight of at least 1 / partial_ceiling^2, to emphasize large holes."""
    unknown_share: float = Field(0.0, ge=0, le=1)
    """Fraction of these crops in which the other pixels are unknown (sigma = inf); requires model.passes."""


class LossPlan(Config):
    """The objective and the weights of noise levels."""

    objective: Literal["denoising", "sliced", "vlb", "sigma"] = "denoising"
    """denoising compares D with the clean image; a network with a learned variance (net.out_channels is twice the
    channels) adds the variational bound to it (the hybrid loss of Nichol and Dhariwal 2021), vlb is the bound alone,
    with importance sampling of the steps. sliced matches the score of the noisy images along random directions (Song et
    al. 2019, arXiv 1905.07088, with variance reduction), at 3 times the cost. sigma trains only the noise estimator of
    a blind prior."""
    label_dropout: float = Field(0.0, ge=0, lt=1)
    """Fraction of the labels that become "none" (Ho and Salimans 2022). Requires net.classes to be the number
    of names plus one."""
    norm: Literal["l2", "l1", "log"] = "l2"
    """l2 is the mean squared error, l1 the mean absolute error. log is log(1 + e / 0.1) of the squared error e of each
    image: like PSNR (Chen et al. 2021, arXiv 2105.06086), it counts smooth images as much as textured ones."""
    weighting: Literal["simple", "p2", "min-snr"] = "simple"
    p2_gamma: Exponent = 1.0
    p2_k: float = Field(1.0, ge=1e-4, le=1e4)
    """Choi et al. 2022 (arXiv 2204.00227, equation 8)."""
    snr_gamma: float = Field(5.0, ge=1e-4, le=1e4)
    """Hang et al. 2023 (arXiv 2303.09556, section 3.4)."""


class OptimizerPlan(Config):
    """The optimizer and its learning rate."""

    name: Literal["muon", "adamw"] = "muon"
    """muon updates weights of at least 16 x 16 by orthogonalized momentum (Jordan et al. 2024) and all others by AdamW;
    adamw updates all by AdamW."""
    lr: float = Field(4e-4, gt=0, le=10)
    """Learning rate; both kinds of updates of muon have about the same size (Liu et al. 2025, arXiv 2502.16982)."""
    momentum: float = Field(MOMENTUM, ge=0, lt=1)
    """Nesterov momentum of muon."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Betas of AdamW."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of all parameters."""
    clip: float | None = Field(1.0, ge=1e-6, le=1e9)
    """Largest gradient norm; null for none."""
    warmup: int = Field(200, ge=0, le=MAX_STEPS)
    decay: Literal["cosine", "linear", "none"] = "cosine"
    """Schedule of the learning rate; cosine and linear reach zero at the last step."""

    @model_validator(mode="after")
    def _check_momentum(self) -> OptimizerPlan:
        if self.name == "adamw" and self.momentum != MOMENTUM:
            raise ValueError(
                f"optimizer.momentum is {self.momentum:g}, but optimizer.name is 'adamw'; allowed: {MOMENTUM:g}"
            )
        if self.lr * self.weight_decay > 1:
            product = f"{self.lr:g} * {self.weight_decay:g}"
            raise ValueError(f"optimizer.lr * optimizer.weight_decay is {product}, allowed: 1 or less")
        return self


class RunPlan(Config):
    """Length, batch size, precision and output."""

    steps: int = Field(ge=1, le=MAX_STEPS)
    batch: int = Field(16, ge=1, le=MAX_BATCH)
    """Batch size per process and backward pass; an optimizer step uses `accumulate` of them per process."""
    accumulate: int = Field(1, ge=1, le=MAX_BATCH)
    ema: float = Field(0.999, ge=0, lt=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the networks. auto: bfloat16 if the device computes with it in hardware, float32 otherwise."""
    channels_last: bool = True
    compile: bool = False
    fsdp: bool = False
    """Divide the weights, gradients, averages of AdamW and the moving average among the processes (FSDP2), instead of
    copying them to each; requires optimizer.name 'adamw'. No effect with one process."""
    seed: int = Field(0, ge=0, lt=2**63)
    log_steps: int = Field(20, ge=1, le=MAX_STEPS)
    save_minutes: Positive = 10.0
    sample_minutes: Positive | None = 30.0
    """Interval of the sample grids (DDIM); null for none."""
    weights: Literal["float16", "float32"] = "float16"


class CardPlan(Config):
    """Texts of the model card."""

    name: Line
    license: Line = "apache-2.0"
    data: str
    """Sources and terms of the training data."""


class Plan(Config):
    """A training run."""

    card: CardPlan
    model: ModelConfig = EpsilonConfig()
    data: DataPlan
    validation: ValidationPlan | None = None
    """Photos on which the PSNR of D is measured at every checkpoint; null for none."""
    noise: NoisePlan = NoisePlan()
    degradation: DegradationPlan | None = None
    """The degradations of a blind prior (model.net.noise_estimator), which replace `noise`."""
    distillation: DistillationPlan | None = None
    """The teachers of a blind prior, whose noise estimator is then not trained; null for none."""
    loss: LossPlan = LossPlan()
    optimizer: OptimizerPlan = OptimizerPlan()
    run: RunPlan

    @model_validator(mode="after")
    def _check_consistency(self) -> Plan:
        """Raise ValueError with one line for each contradiction."""
        parts = (self._sections, self._network, self._labels, self._degradation, self._losses, self._sharding)
        if problems := [problem for part in parts for problem in part()]:
            raise ValueError("\n".join(problems))
        return self

    def _sections(self) -> Iterator[str]:
        if self.data.crop % self.model.net.factor:
            yield f"data.crop is {self.data.crop}, allowed: multiples of {self.model.net.factor}"
        if self.loss.objective == "sliced" and (self.loss.norm, self.loss.weighting) != ("l2", "simple"):
            yield "loss.objective is 'sliced'; allowed: loss.norm 'l2' and loss.weighting 'simple'"
        if self.loss.objective == "sliced" and self.model.partial_noise:
            yield "loss.objective is 'sliced', but model.partial_noise is true; allowed: false"
        if isinstance(self.model, ScoreConfig) and self.noise.distribution != "uniform-t":
            yield (
                f"noise.distribution is {self.noise.distribution!r}, but model.family is 'score';"
                " allowed: 'uniform-t', its levels"
            )
        if (self.noise.partial_share > 0) != self.model.partial_noise:
            yield (
                f"noise.partial_share is {self.noise.partial_share:g}, but model.partial_noise is "
                f"{self.model.partial_noise}; allowed: both or neither"
            )
        passes = self.model.passes
        if (self.noise.unknown_share > 0) != (passes > 0):
            share = f"{self.noise.unknown_share:g}"
            yield f"noise.unknown_share is {share}, but model.passes is {passes}; allowed: both or neither"

    def _network(self) -> Iterator[str]:
        if self.model.channels not in (1, 3):
            yield f"model.channels is {self.model.channels}, allowed in training: 1 or 3"
        if isinstance(self.model, EpsilonConfig) and self.model.net.low_res:
            yield "model.net.low_res is true, allowed in training: false"
        if isinstance(self.model, ScoreConfig) and self.model.data == "logits":
            yield "model.data is 'logits', allowed in training: 'unit' or 'signed'"
        if isinstance(self.model, NoisyClassifierConfig) and self.data.crop != self.model.size:
            yield f"data.crop is {self.data.crop}, allowed with model.net.size: {self.model.size}"
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in self.model.build_net().parameters())
        if count > MAX_PARAMETERS:
            yield f"model.net has {count:.2g} parameters, allowed: {MAX_PARAMETERS:.2g} or less"

    def _degradation(self) -> Iterator[str]:
        if (self.degradation is not None) != self.model.blind:
            given = "not given" if self.degradation is None else "given"
            blind = "given" if self.model.blind else "null"
            yield f"degradation is {given}, but model.net.noise_estimator is {blind}; allowed: both or neither"
        if not self.model.blind:
            if self.loss.objective == "sigma":
                yield "loss.objective is 'sigma'; allowed with model.net.noise_estimator"
            if self.distillation is not None:
                yield "distillation is given; allowed with model.net.noise_estimator"
            return
        if self.distillation is not None and self.loss.objective == "sigma":
            yield "distillation is given, but loss.objective is 'sigma'; allowed: 'denoising'"
        multiple = REDUCTION * self.model.net.factor
        if self.data.crop % multiple or self.data.crop <= REDUCTION * MARGIN:
            allowed = f"multiples of {multiple} above {REDUCTION * MARGIN}"
            yield f"data.crop is {self.data.crop}, allowed with degradation: {allowed}"
        if self.model.channels != 3:
            yield f"model.channels is {self.model.channels}, allowed with degradation: 3"
        if self.loss.objective not in ("denoising", "sigma"):
            found = f"loss.objective is {self.loss.objective!r}, but the model is blind"
            yield f"{found}; allowed: 'denoising', 'sigma'"
        for name, default in (("noise", NoisePlan()), ("loss", LossPlan(objective=self.loss.objective))):
            if getattr(self, name) != default:
                yield f"{name} is given, but the model is blind; allowed: degradation only"
        if self.data.dequantize:
            yield "data.dequantize is true, but the model is blind; allowed: false"
        known = 0 if self.degradation is None else self.degradation.known_jpeg_share
        if (known > 0) != (self.model.classes is not None):
            found = f"degradation.known_jpeg_share is {known:g}, but model.classes is {self.model.classes}"
            yield f"{found}; allowed: both or neither"

    def _losses(self) -> Iterator[str]:
        """Reject keys that the objective of the model ignores."""
        defaults, learned = LossPlan(), self.model.learned_variance
        ignored: tuple[str, ...] = ()
        if isinstance(self.model, NoisyClassifierConfig):
            ignored = tuple(LossPlan.model_fields)
            if self.data.dequantize:
                yield "data.dequantize is true, but model.family is 'classifier'; allowed: false"
        elif learned:
            ignored = ("norm", "weighting")
            if self.loss.objective == "sliced":
                yield "loss.objective is 'sliced', but the network learns a variance; allowed: 'denoising' or 'vlb'"
        for name in ignored:
            if getattr(self.loss, name) != getattr(defaults, name):
                reason = "model.family is 'classifier'" if not learned else "the network learns a variance"
                allowed = getattr(defaults, name)
                yield f"loss.{name} is {getattr(self.loss, name)!r}, but {reason}; allowed: {allowed!r}"
        if self.loss.objective == "sliced" and self.model.self_conditioned:
            yield "loss.objective is 'sliced', but model.self_conditioned is true; allowed: false"
        if self.loss.objective == "sliced" and self.model.classes is not None:
            yield "loss.objective is 'sliced', but model.classes is given; allowed: no classes"

    def _labels(self) -> Iterator[str]:
        classes, learned = self.model.classes, self.model.learned_variance
        if self.validation is not None and isinstance(self.model, NoisyClassifierConfig):
            yield "validation is given, but model.family is 'classifier'; allowed: null"
        elif self.validation is not None and classes is not None and self.model.no_label is None:
            yield "validation is given, but the model has classes and no label for none; allowed: null"
        # The labels of a blind prior are those of its degradations.
        if (classes is None or self.model.blind) != (self.data.labels is None):
            yield f"data.labels is {self.data.labels}, but model.classes is {classes}; allowed: both or neither"
        if (self.loss.label_dropout > 0) != (self.model.no_label is not None and not self.model.blind):
            yield (
                f"loss.label_dropout is {self.loss.label_dropout:g}; allowed: above 0 exactly when net.classes is one"
                " above the number of names in classes"
            )
        if self.loss.objective == "vlb" and not learned:
            yield "loss.objective is 'vlb'; allowed with net.out_channels twice model.channels"
        if learned and self.noise.distribution != "uniform-t":
            yield "a learned variance is trained on all steps; allowed: noise.distribution 'uniform-t'"
        if learned and self.model.passes:
            yield f"model.passes is {self.model.passes}, but a variance is learned; allowed: 0"
        if self.loss.objective == "vlb" and self.model.partial_noise:
            yield "loss.objective is 'vlb', but model.partial_noise is true; allowed: false"

    def _sharding(self) -> Iterator[str]:
        if not self.run.fsdp:
            return
        if self.optimizer.name != "adamw":
            yield f"optimizer.name is {self.optimizer.name!r}, but run.fsdp is true; allowed: 'adamw'"
        if self.run.compile:
            yield "run.compile is true, but run.fsdp is true; allowed: false"
        if self.loss.objective == "sliced":
            yield "loss.objective is 'sliced', but run.fsdp is true; allowed: 'denoising'"
