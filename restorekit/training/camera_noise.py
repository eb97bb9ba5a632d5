"""A model of the noise of camera photos, for training: from a clean photo back to raw data, and to sRGB with noise.

Each stage is one function. The noise of a photo is the difference of two passes through the same camera, one with
and one without noise in the raw data; added to the clean photo, it has the colour, the correlation and the dependence
on brightness of camera noise, while the photo itself stays the target of the training, without artifacts of a
simulated demosaicing.

Images are (N, 3, H, W) in [0, 1]; a parameter of an image is (N, 1, 1, 1), or (N, 3, 1, 1) for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.operators import Mosaic

# XYZ (D65) to camera RGB of four cameras of the Darmstadt Noise Dataset, from Brooks et al. 2019 (arXiv 1811.11127).
XYZ_TO_CAMERA = torch.tensor(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
# Linear sRGB to XYZ (IEC 61966-2-1).
SRGB_TO_XYZ = torch.tensor(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
# R'G'B' to Y'CbCr (ITU-R BT.601), as in JPEG.
RGB_TO_YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
# Shot noise (variance per unit of signal), and read noise as a function of it: log read = slope log shot + offset
# +- deviation, fitted by Brooks et al. 2019 to the cameras of the Darmstadt Noise Dataset. Their range of shot noise
# starts at 1e-4; the lower start here includes photos at base ISO.
MIN_SHOT, MAX_SHOT = 2e-5, 1.2e-2
READ_SLOPE, READ_OFFSET, READ_DEVIATION = 2.18, 1.2, 0.26
# Smallest and largest size of the raw data, relative to the photo: smaller for digital zoom and lens correction,
# larger for photos that the camera or the user scaled down.
MIN_SCALE, MAX_SCALE = 0.67, 2.0
# Colour filter array of the sensor, RGGB.
SENSOR = Mosaic()
# Number of crops that share a scale.
GROUP = 4


@dataclass(frozen=True)
class Camera:
    """Parameters of the cameras and settings of N photos.

    Attributes:
        matrix: linear sRGB to camera RGB, (N, 3, 3), rows with sum 1.
        gains: white balance, including exposure, (N, 3, 1, 1).
        tone: whether there is a tone curve, (N, 1, 1, 1) bool.
        shot, read: variance of the noise of the raw data: shot * signal + read.
        gradient_corrected: demosaicing of Malvar et al. instead of bilinear, (N, 1, 1, 1) bool.
        luma_reduction, chroma_reduction: fractions of the fine noise that in-camera noise reduction removes, in [0, 1].
        luma_blur, chroma_blur: standard deviations in pixels of the noise that it leaves.
        sharpening, sharpening_blur: amount and standard deviation in pixels of unsharp masking.
    """

    matrix: Tensor
    gains: Tensor
    tone: Tensor
    shot: Tensor
    read: Tensor
    gradient_corrected: Tensor
    luma_reduction: Tensor
    chroma_reduction: Tensor
    luma_blur: Tensor
    chroma_blur: Tensor
    sharpening: Tensor
    sharpening_blur: Tensor


def sample_cameras(count: int, generator: torch.Generator) -> Camera:
    """Sample the parameters of cameras, on the device of the generator.

    Gains and matrices are distributed as in Brooks et al. 2019 (sections 3.3 to 3.5), the logarithm of the shot noise
    is uniform. Noise reduction is present in nine tenths of the cameras, sharpening in two fifths, a tone curve in
    three quarters.
    """
    device = generator.device

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand((count, channels, 1, 1), generator=generator, device=device) * (high - low) + low

    def normal() -> Tensor:
        return torch.randn((count, 1, 1, 1), generator=generator, device=device)

    weights = uniform(0, 1, len(XYZ_TO_CAMERA)).reshape(count, -1)
    mixed = torch.einsum("nk,kij->nij", weights / weights.sum(1, keepdim=True), XYZ_TO_CAMERA.to(device))
    matrix = mixed @ SRGB_TO_XYZ.to(device)
    exposure = 1 / (0.8 + 0.1 * normal()).clamp(min=0.5)
    gains = exposure * torch.cat([uniform(1.9, 2.4), torch.ones_like(exposure), uniform(1.5, 1.9)], dim=1)
    log_shot = torch.log(torch.tensor([MIN_SHOT, MAX_SHOT]))
    shot = uniform(float(log_shot[0]), float(log_shot[1])).exp()
    read = (READ_SLOPE * shot.log() + READ_OFFSET + READ_DEVIATION * normal()).exp()
    reduces, sharpens = uniform(0, 1) < 0.9, uniform(0, 1) < 0.4
    return Camera(
        matrix=matrix / matrix.sum(2, keepdim=True),
        gains=gains,
        tone=uniform(0, 1) < 0.75,
        shot=shot,
        read=read,
        gradient_corrected=uniform(0, 1) < 0.5,
        luma_reduction=uniform(0, 1) ** (1 / 2) * reduces,
        chroma_reduction=uniform(0, 1) ** (1 / 20) * reduces,
        luma_blur=uniform(0.5, 2),
        chroma_blur=uniform(2, 8),
        sharpening=uniform(0, 1.2) * sharpens,
        sharpening_blur=uniform(0.6, 1.5),
    )


def linearize(photo: Tensor, camera: Camera) -> Tensor:
    """Return linear sRGB: the inverse of the tone curve and of the gamma curve.

    Brooks et al. 2019, sections 3.6 and 3.7, with the gamma curve of IEC 61966-2-1.
    """
    photo = photo.clamp(0, 1)
    untoned = torch.where(camera.tone, 0.5 - torch.sin(torch.asin(1 - 2 * photo) / 3), photo)
    return torch.where(untoned <= 0.04045, untoned / 12.92, ((untoned + 0.055) / 1.055).clamp(min=1e-8) ** 2.4)


def render(linear: Tensor, camera: Camera) -> Tensor:
    """Return sRGB from linear sRGB: the inverse of `linearize`, for values in [0, 1]; others are clipped.

    The gamma curve (IEC 61966-2-1) is followed by the tone curve 3 x^2 - 2 x^3 (Brooks et al. 2019, section 3.7).
    """
    linear = linear.clamp(0, 1)
    gamma = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-8) ** (1 / 2.4) - 0.055)
    return torch.where(camera.tone, 3 * gamma**2 - 2 * gamma**3, gamma)


def apply_matrix(image: Tensor, matrix: Tensor) -> Tensor:
    """Return matrix @ colour for every pixel; matrix (N, 3, 3) or (3, 3)."""
    return torch.einsum("ij,njhw->nihw" if matrix.ndim == 2 else "nij,njhw->nihw", matrix.to(image), image)


def remove_white_balance(camera_rgb: Tensor, camera: Camera) -> Tensor:
    """Divide by the gains; highlights keep their value, so that white stays clipped.

    Brooks et al. 2019, section 3.4. Above a mean of 0.9 it is therefore not the inverse of the white balance.
    """
    grey = camera_rgb.mean(1, keepdim=True)
    highlight = ((grey - 0.9) / 0.1).clamp(0, 1) ** 2
    inverse = 1 / camera.gains
    return camera_rgb * torch.maximum(highlight + (1 - highlight) * inverse, inverse)


def to_raw(photo: Tensor, camera: Camera) -> Tensor:
    """Return the colours of the sensor, (N, 3, H, W) in [0, 1], before the colour filter array."""
    return remove_white_balance(apply_matrix(linearize(photo, camera), camera.matrix).clamp(0, 1), camera).clamp(0, 1)


def from_raw(raw: Tensor, camera: Camera) -> Tensor:
    """Return the photo of demosaiced raw data: white balance, colour matrix and `render`."""
    balanced = (raw * camera.gains).clamp(0, 1)
    return render(apply_matrix(balanced, torch.linalg.inv(camera.matrix)), camera)


def add_noise(raw: Tensor, camera: Camera, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of variance shot * signal + read (Foi et al. 2008, IEEE TIP 17(10)).

    The result is clipped at the white level 1. Values below the black level 0 are kept until `demosaic`.
    """
    deviation = (camera.shot * raw + camera.read).sqrt()
    noise = torch.randn(raw.shape, generator=generator, device=generator.device)
    return (raw + deviation * noise).clamp(max=1)


# Demosaicing filters: bilinear, and the gradient correction of Malvar et al. 2004 (ICASSP, figure 2), each of sum 1
# over the pixels that it reads.
_GREEN = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 2, 0, 0], [0, 2, 8, 2, 0], [0, 0, 2, 0, 0], [0, 0, 0, 0, 0]]) / 8
_COLOR = torch.tensor([[0, 0, 0, 0, 0], [0, 2, 4, 2, 0], [0, 4, 8, 4, 0], [0, 2, 4, 2, 0], [0, 0, 0, 0, 0]]) / 8
_CROSS = torch.tensor([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]) / 8
_ROW = torch.tensor([[0, 0, 1, 0, 0], [0, -2, 0, -2, 0], [-2, 8, 10, 8, -2], [0, -2, 0, -2, 0], [0, 0, 1, 0, 0]]) / 16
_DIAGONAL = (
    torch.tensor([[0, 0, -3, 0, 0], [0, 4, 0, 4, 0], [-3, 0, 12, 0, -3], [0, 4, 0, 4, 0], [0, 0, -3, 0, 0]]) / 16
)


def demosaic_bilinear(mosaic: Tensor, pattern: Tensor) -> Tensor:
    """Return the bilinear interpolation (N, 3, H, W) of raw data (N, 1, H, W) with a colour filter array (3, H, W)."""
    filters = torch.stack([_COLOR, _GREEN, _COLOR])[:, None].to(mosaic)
    return F.conv2d(F.pad(mosaic * pattern, (2, 2, 2, 2), mode="reflect"), filters, groups=3)


def demosaic_gradient_corrected(mosaic: Tensor, pattern: Tensor) -> Tensor:
    """Return the linear interpolation of Malvar et al. 2004: bilinear, corrected by the gradients of other channels."""
    filters = torch.stack([_CROSS, _ROW, _ROW.T, _DIAGONAL])[:, None].to(mosaic)
    cross, row, column, diagonal = F.conv2d(F.pad(mosaic, (2, 2, 2, 2), mode="reflect"), filters).split(1, dim=1)
    red, green, blue = pattern[:, None]
    even_row = red.amax(-1, keepdim=True)
    # Neighbours of the same row are red on green pixels of even rows, and blue on those of odd rows.
    in_row, in_column = green * even_row, green * (1 - even_row)
    return torch.cat(
        [
            mosaic * red + row * in_row + column * in_column + diagonal * blue,
            mosaic * green + cross * (1 - green),
            mosaic * blue + column * in_row + row * in_column + diagonal * red,
        ],
        dim=1,
    )


def demosaic(mosaic: Tensor, pattern: Tensor, camera: Camera) -> Tensor:
    """Demosaic raw data (N, 1, H, W) by the method of each camera."""
    corrected = demosaic_gradient_corrected(mosaic, pattern)
    return torch.where(camera.gradient_corrected, corrected, demosaic_bilinear(mosaic, pattern)).clamp(0, 1)


def blur(image: Tensor, deviation: Tensor) -> Tensor:
    """Return the image blurred by a Gaussian of standard deviation (N, 1, 1, 1) in pixels, normalized at the border."""

    def matrix(side: int) -> Tensor:
        position = torch.arange(side, device=image.device)
        weight = (-((position[:, None] - position) ** 2) / (2 * deviation.square())).exp()
        return weight / weight.sum(-1, keepdim=True)

    height, width = image.shape[-2:]
    return matrix(height) @ image @ matrix(width).transpose(-1, -2)


def reduce_noise(noise: Tensor, camera: Camera) -> Tensor:
    """Model in-camera noise reduction, which keeps coarse noise and removes a part of the fine noise, most in chroma.

    The noise of photos of consumer cameras is correlated over several pixels for this reason (Nam et al. 2016, CVPR).
    The clean photo is assumed to be preserved.
    """
    ycbcr = apply_matrix(noise, RGB_TO_YCBCR)
    luma, chroma = ycbcr[:, :1], ycbcr[:, 1:]
    luma = luma + camera.luma_reduction * (blur(luma, camera.luma_blur) - luma)
    chroma = chroma + camera.chroma_reduction * (blur(chroma, camera.chroma_blur) - chroma)
    return apply_matrix(torch.cat([luma, chroma], dim=1), torch.linalg.inv(RGB_TO_YCBCR))


def sharpen(noise: Tensor, camera: Camera) -> Tensor:
    """Apply unsharp masking, the sharpening of cameras."""
    return noise + camera.sharpening * (noise - blur(noise, camera.sharpening_blur))


def camera_noise(photo: Tensor, camera: Camera, scale: float, generator: torch.Generator) -> Tensor:
    """Return noise like the photos (N, 3, H, W): the difference of two passes through the cameras.

    scale: size of the raw data relative to the photo.
    """
    height, width = photo.shape[-2:]
    raw_height, raw_width = (2 * round(side * scale / 2) for side in (height, width))
    raw = to_raw(_resize(photo, raw_height, raw_width), camera)
    mosaic, pattern = SENSOR.forward(raw), SENSOR.pattern_mask(raw)
    noisy, clean = (
        from_raw(demosaic(data, pattern, camera), camera) for data in (add_noise(mosaic, camera, generator), mosaic)
    )
    return _resize(sharpen(reduce_noise(noisy - clean, camera), camera), height, width)


def sample_camera_noise(photo: Tensor, generator: torch.Generator) -> Tensor:
    """Return noise like the photos, with random cameras; every `GROUP` photos share a scale, half of which are 1."""
    parts = []
    for part in photo.split(GROUP):
        draw = torch.rand(2, generator=generator, device=generator.device).tolist()
        scale = 1.0 if draw[0] < 0.5 else MIN_SCALE * (MAX_SCALE / MIN_SCALE) ** draw[1]
        parts.append(camera_noise(part, sample_cameras(len(part), generator), scale, generator))
    return torch.cat(parts)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True)
