"""Number of parameters of the networks of guided-diffusion, counted layer by layer from its description of the network.

Dhariwal and Nichol 2021 (arXiv 2105.05233): residual blocks with AdaGN, also for up- and downsampling.
"""

from __future__ import annotations


def conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def linear(inputs: int, outputs: int) -> int:
    return conv(inputs, outputs, 1)


def norm(channels: int) -> int:
    return 2 * channels


def residual(inputs: int, outputs: int, embedding: int) -> int:
    skip = 0 if inputs == outputs else conv(inputs, outputs, 1)
    first = norm(inputs) + conv(inputs, outputs, 3)
    second = norm(outputs) + conv(outputs, outputs, 3)
    return first + linear(embedding, 2 * outputs) + second + skip


def attention(channels: int) -> int:
    return norm(channels) + conv(channels, 3 * channels, 1) + conv(channels, channels, 1)


def encoder(inputs: int, channels: int, widths: list[int], blocks: int, sides: list[int], size: int):
    """Return the number of parameters up to the middle, and the channels of every skip connection."""
    embedding = 4 * channels
    count = linear(channels, embedding) + linear(embedding, embedding) + conv(inputs, widths[0], 3)
    skips, width = [widths[0]], widths[0]
    for level, out in enumerate(widths):
        for _ in range(blocks):
            count += residual(width, out, embedding) + (attention(out) if size >> level in sides else 0)
            width = out
            skips.append(width)
        if level < len(widths) - 1:
            count += residual(width, width, embedding)
            skips.append(width)
    count += 2 * residual(width, width, embedding) + attention(width)
    return count, skips


def unet(channels, widths, blocks, sides, size, *, inputs=3, outputs=6, classes=0) -> int:
    count, skips = encoder(inputs, channels, widths, blocks, sides, size)
    width, embedding = widths[-1], 4 * channels
    count += classes * embedding
    for level in reversed(range(len(widths))):
        for _ in range(blocks + 1):
            count += residual(width + skips.pop(), widths[level], embedding)
            count += attention(widths[level]) if size >> level in sides else 0
            width = widths[level]
        if level > 0:
            count += residual(width, width, embedding)
    return count + norm(width) + conv(width, outputs, 3)


def classifier(channels, widths, blocks, sides, size, classes=1000) -> int:
    count, _ = encoder(3, channels, widths, blocks, sides, size)
    deep, side = widths[-1], size >> (len(widths) - 1)
    pooling = deep * (side**2 + 1) + conv(deep, 3 * deep, 1) + conv(deep, classes, 1)
    return count + norm(deep) + pooling
