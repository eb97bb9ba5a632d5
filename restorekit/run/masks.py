"""Which pixels of an image file a mask marks."""

from __future__ import annotations

import functools
import warnings
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from restorekit.core.options import MaskChannel
from restorekit.errors import ImageError, OptionError, RestorekitWarning, unknown
from restorekit.run.photo import Photo

Values: TypeAlias = NDArray[np.float32]
# Fractions of the largest pixel value: what colours are still alike, and the smallest difference between the channels
# of a coloured pixel.
ALIKE, COLOURED = 0.15, 0.25
# Fraction of pixels that must be alike for a background or strokes of one colour; edges are blends.
MOST, SOME = 0.9, 0.3
# Fraction of pixels that must be black or white for a grey image to be a mask; feathered masks have others.
MOST_GREY = 0.75
# Fraction of coloured pixels, above which a mask is not grey.
FEW = 1e-4
ALLOWED = "allowed: black and white, strokes of one colour on white, black or transparent, or a transparent hole"


def mask_values(side: Photo, channel: MaskChannel, where: str, option: str) -> Values:
    """Return a mask as (H, W) in [0, 1]; recipes fill the pixels above 0.5.

    Arguments:
        side: the image.
        channel: "luminance", the mean of the channels, in which transparent pixels are black; "red", "green", "blue";
            "alpha", the opaque pixels; "transparency", the transparent ones; "colour", the difference between the
            largest and the smallest channel, relative to its median in coloured pixels; or "auto".
        where, option: the mask and its option in messages, such as "m.png: --mask" and "mask".

    "auto" is the luminance for black and white. Otherwise it recognises two values that are both dark (0 and 1),
    strokes of one colour on a white, black or transparent background, and a transparent hole; a RestorekitWarning then
    states what is filled. Raises ImageError if the image is none of these, such as a photo, or does not have the
    channel.
    """
    if channel != "auto":
        return _channel(side, channel, where)
    channel, note, scale = _recognised(side, where, f"--{option}-channel")
    if note:
        warnings.warn(RestorekitWarning(f"{where}: {note}"), stacklevel=2)
    values = _channel(side, channel, where)
    return values if scale == 1 else np.minimum(values * np.float32(scale), 1)


def check_channel(channel: str, option: str) -> None:
    """Raise OptionError for an unknown channel of the mask of an option."""
    if channel not in get_args(MaskChannel):
        raise OptionError(unknown("channel", str(channel), get_args(MaskChannel), f"--{option}-channel"))


def luminance(side: Photo) -> Values:
    """Return the mean of the channels (H, W) in [0, 1]; transparent pixels are black."""
    channels = side.pixels.shape[2]
    values: Values = side.pixels[..., 0].astype(np.float32)
    for channel in range(1, channels):
        values += side.pixels[..., channel]
    values /= np.float32(channels * side.max_value)
    return values if side.alpha is None else values * _alpha(side, "")


def _alpha(side: Photo, where: str) -> Values:
    if side.alpha is None:
        raise ImageError(f"{where}: the image has no alpha channel; allowed: another channel, or an image that has one")
    return side.alpha.astype(np.float32) / np.float32(side.max_value)


def _colour(side: Photo, where: str) -> Values:
    chroma = _chroma(side.pixels)
    if side.alpha is not None:
        chroma = np.where(side.alpha > side.max_value // 2, chroma, 0)
    coloured = chroma[chroma > round(COLOURED * side.max_value)]
    if not coloured.size:
        raise ImageError(f"{where}: no pixel is coloured; allowed: another channel, or coloured strokes")
    values: Values = np.minimum(chroma.astype(np.float32) / np.float32(np.median(coloured)), 1)
    return values


def _channel(side: Photo, channel: MaskChannel, where: str) -> Values:
    """Return a channel (H, W) in [0, 1]; a grey image has the same value in all colours."""
    if channel in ("red", "green", "blue"):
        index = ("red", "green", "blue").index(channel) % side.pixels.shape[2]
        values: Values = side.pixels[..., index].astype(np.float32) / np.float32(side.max_value)
        return values
    if channel == "luminance":
        return luminance(side)
    if channel == "colour":
        return _colour(side, where)
    return _alpha(side, where) if channel == "alpha" else 1 - _alpha(side, where)


def _chroma(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the difference between the largest and the smallest channel of pixels (..., C)."""
    channels = [pixels[..., index] for index in range(pixels.shape[-1])]
    chroma: NDArray[Any] = functools.reduce(np.maximum, channels) - functools.reduce(np.minimum, channels)
    return chroma


def _sampled(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return about a million of the pixels (N, C) at most, evenly distributed."""
    return pixels[:: max(1, len(pixels) // 1_000_000)].astype(np.float32)


def _recognised(side: Photo, where: str, option: str) -> tuple[MaskChannel, str, float]:
    """Return the channel that marks the pixels, a note ("" if it is the luminance), and a factor of the luminance."""
    if side.alpha is not None:
        opaque = side.alpha > side.max_value // 2
        if not opaque.any():
            return "luminance", "", 1.0
        if not opaque.all():
            pixels = _sampled(side.pixels[opaque]) / np.float32(side.max_value)
            return (*_recognised_transparent(pixels, float(opaque.mean()), where, option), 1.0)
    if side.pixels.shape[2] > 1:
        # Comparisons with integers need no temporary floats.
        coloured = _chroma(side.pixels) > round(COLOURED * side.max_value)
        if coloured.mean() > FEW:
            return (*_recognised_colour(side, coloured, where, option), 1.0)
    return "luminance", *_recognised_grey(side, where, option)


def _recognised_transparent(opaque: Values, share: float, where: str, option: str) -> tuple[MaskChannel, str]:
    """Recognise an image with transparent pixels, given opaque pixels (N, C) in [0, 1], and the share of these."""
    bright, is_grey = opaque.mean(1), (_chroma(opaque) > COLOURED).mean() <= FEW
    white, black = (bright > 1 - ALIKE).mean(), (bright < ALIKE).mean()
    both = f"{option} alpha fills the opaque pixels, {option} transparency the transparent ones"
    if is_grey and white + black > MOST and black < MOST:
        if white > MOST and share > 0.5:
            raise ImageError(f"{where}: most pixels are white and the others are transparent; {both}")
        return "luminance", ""
    if share > 0.5:
        return "transparency", f"the transparent pixels are filled ({option} alpha fills the others)"
    if (np.abs(opaque - np.median(opaque, 0)).max(1) < ALIKE).mean() > MOST:
        return "alpha", f"strokes of one colour on a transparent background are filled ({option} alpha)"
    raise ImageError(f"{where}: the opaque pixels have several colours, and most pixels are transparent; {both}")


def _recognised_colour(side: Photo, coloured: NDArray[np.bool_], where: str, option: str) -> tuple[MaskChannel, str]:
    """Recognise strokes of one colour on white or black, given which pixels (H, W) are coloured."""
    if coloured.all():
        raise ImageError(f"{where}: all pixels are coloured; {ALLOWED}, or {option} to name what marks the pixels")
    strokes = _sampled(side.pixels[coloured]) / side.max_value
    background = _sampled(side.pixels[~coloured]).mean(1) / side.max_value
    darkest = strokes.min(1, keepdims=True)
    hues = (strokes - darkest) / (strokes.max(1, keepdims=True) - darkest)
    one_hue = (np.abs(hues - np.median(hues, 0)).max(1) < 2 * ALIKE).mean() > MOST
    one_colour = (np.abs(strokes - np.median(strokes, 0)).max(1) < ALIKE).mean() > SOME
    even = max((background < ALIKE).mean(), (background > 1 - ALIKE).mean())
    if one_hue and one_colour and even > MOST:
        return "colour", f"strokes of one colour are filled ({option} colour)"
    found = "the image has many colours, as a photo or strokes on a photo have"
    raise ImageError(f"{where}: {found}; {ALLOWED}, or {option} to name what marks the pixels")


def _recognised_grey(side: Photo, where: str, option: str) -> tuple[str, float]:
    """Recognise black and white, and two dark values; return a note and the factor of the luminance."""
    pixels, largest = side.pixels[..., 0], side.max_value
    low, high = int(pixels.min()), int(pixels.max())
    literal = f"or {option} luminance for what is brighter than half"
    if 0 < high <= largest / 2:
        marked = pixels > 0
        if low == 0 and (pixels[marked] == high).mean() > MOST:
            note = f"the values are 0 and {high}; {high} counts as white"
            return f"{note} ({option} luminance takes them literally)", largest / high
        values = f"{low} to {high}" if low < high else f"{low}"
        raise ImageError(f"{where}: the values are {values}; allowed: 0 and {largest} (white), 0 and 1, {literal}")
    tolerance = round(ALIKE * largest)
    if high and ((pixels < low + tolerance) | (pixels > high - tolerance)).mean() < MOST_GREY:
        found = "most pixels are neither black nor white, as in a photo"
        raise ImageError(f"{where}: {found}; allowed: black and white, {literal}")
    return "", 1.0
