"""Import of a published checkpoint: `restorekit models import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from restorekit.core.files import atomic_path
from restorekit.errors import ModelError, shortened, unknown
from restorekit.models.cards import card_facts
from restorekit.models.digests import write_sums
from restorekit.models.files import CARD, WEIGHTS, save_weights
from restorekit.models.hub import HUB, fetch_unet
from restorekit.models.importers.checkpoint import read_checkpoint, tensors_of
from restorekit.models.importers.diffusers import (
    find_unet,
    is_diffusers_file,
    load_diffusers_weights,
    read_diffusers_config,
)
from restorekit.models.importers.guided import Flags, classifier_config, is_classifier, parse_flags, prior_config
from restorekit.models.importers.imported import Imported, Origin
from restorekit.models.importers.ncsn import read_ncsn
from restorekit.models.importers.presets import PRESETS, preset_of
from restorekit.models.keymaps import from_ho_port

YAML = (".yml", ".yaml")
NCSN = Origin(
    project="NCSN (Song and Ermon)",
    url="https://github.com/ermongroup/ncsn and https://github.com/ermongroup/ncsnv2",
    notes=("The code of NCSNv2 is under the MIT licence.",),
)
HOW = "--preset NAME, --flags of guided-diffusion, --config with the YAML file of NCSN, or a folder of diffusers"


def import_model(
    source: str | Path,
    output: Path,
    *,
    preset: str | None = None,
    flags: str | None = None,
    config: Path | None = None,
    classes: Path | None = None,
) -> Imported:
    """Convert a published checkpoint to a model folder: weights with the configuration in the header, and a card.

    The tensors keep their precision.

    Arguments:
        source: a checkpoint file, a folder of diffusers, or `hf://org/name@revision`.
        output: the new folder.
        preset: name of a published architecture, see `PRESETS`; found by the name of the file by default.
        flags: flags of the scripts of guided-diffusion, instead of a preset.
        config: YAML file of NCSN; config.yml beside the checkpoint by default.
        classes: text file with the name of one class per line; ImageNet or numbers by default.
    """
    if (output / WEIGHTS).exists():
        raise ModelError(f"--output: {output} already contains {WEIGHTS}, allowed: a new folder")
    names = _class_names(classes)
    text = str(source)
    repository = fetch_unet(text) if text.startswith(HUB) else None
    unet = _folder_of(Path(source)) if repository is None else repository.weights
    if unet is not None:
        imported = _from_diffusers(unet, names)
    else:
        imported = _from_file(Path(source), preset, flags, config, names)
    try:
        imported.check()
    except ModelError as error:
        raise ModelError(f"{source}: {error}; see --preset, --flags and --config") from error
    output.mkdir(parents=True, exist_ok=True)
    save_weights(output / WEIGHTS, imported.weights, imported.config, None)
    origin = Path(source).name if repository is None else repository.source
    with atomic_path(output / CARD) as part:
        part.write_text(imported.card(origin), encoding="utf-8")
    write_sums(output, [WEIGHTS], origin)
    return imported


def _folder_of(path: Path) -> Path | None:
    """Return the weights file of a folder of diffusers; None for another file."""
    if path.is_file():
        return path if is_diffusers_file(path) else None
    found = find_unet(path)
    if found is None:
        kind = "the folder has no UNet2DModel of diffusers" if path.is_dir() else "no such file or folder"
        raise ModelError(f"{path}: {kind}; allowed: a checkpoint, a folder of diffusers, {HUB}org/name")
    return found


def _from_diffusers(weights: Path, classes: tuple[str, ...] | None) -> Imported:
    config = read_diffusers_config(weights, classes)
    folders = (weights.parent, weights.parent.parent) if weights.parent.name == "unet" else (weights.parent,)
    facts = next((found for folder in folders if (found := card_facts(folder / CARD))), {})
    origin = Origin(
        project="A UNet2DModel of diffusers",
        license=str(facts.get("license", "unknown")),
        data=shortened(str(facts.get("datasets", "unknown"))),
    )
    return Imported(config, load_diffusers_weights(weights, config), origin)


def _from_file(
    path: Path, preset: str | None, flags: str | None, config: Path | None, classes: tuple[str, ...] | None
) -> Imported:
    if preset is not None and preset not in PRESETS:
        raise ModelError(unknown("preset", preset, PRESETS, "--preset"))
    if sum(value is not None for value in (preset, flags, config)) > 1:
        raise ModelError("found several of --preset, --flags and --config; allowed: one of them")
    content = read_checkpoint(path)
    if config is None and isinstance(content, list):
        config = next((file for kind in YAML if (file := path.with_name(f"config{kind}")).is_file()), None)
    if config is not None:
        score, weights = read_ncsn(content, path, config)
        return Imported(score, weights, NCSN)
    name = preset or (None if flags is not None else preset_of(path))
    if name is None and flags is None:
        raise ModelError(f"{path}: unknown architecture; allowed: {HOW}. Presets: {', '.join(PRESETS)}.")
    weights = tensors_of(content, path)
    facts = None if name is None else PRESETS[name]
    try:
        if facts is not None and facts.config is not None:
            return Imported(facts.config, from_ho_port(weights, facts.config.net), facts.origin)
        parsed = parse_flags(facts.flags if facts is not None else flags or "")
        return Imported(_guided_config(parsed, weights, classes), weights, facts.origin if facts else _own_origin())
    except ValidationError as error:
        raise ModelError(f"--flags: {shortened(error.errors()[0]['msg'], 200)}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _own_origin() -> Origin:
    return Origin(project="A network of guided-diffusion")


def _guided_config(flags: Flags, weights: dict[str, Any], classes: tuple[str, ...] | None) -> Any:
    names = imagenet_classes() if classes is None else classes
    return classifier_config(flags, names) if is_classifier(weights) else prior_config(flags, names)


def _class_names(path: Path | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise ModelError(f"--classes: {path}: not a readable text file ({error})") from error


def imagenet_classes() -> tuple[str, ...]:
    """Return the names of the 1,000 classes of ImageNet, in the order of the labels."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])
