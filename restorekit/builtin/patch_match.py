"""The most similar known patch of every patch that overlaps a hole (PatchMatch), and images made of such patches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.noise import ImageNoise

# Radius of a patch in pixels, (side - 1) / 2.
RADIUS = 3
SIDE = 2 * RADIUS + 1
# Largest change of each colour of a patch (the range is 2), and weight of its square in the distance.
MAX_SHIFT, SHIFT_WEIGHT = 0.05, 0.5
# Distances in pixels from which the match of a neighbour is tried. At the sides, the last one reaches pixels of other
# rows; their matches are candidates like any others.
PROPAGATED = (1, 2, 4, 8)


def known_patches(hole: Tensor) -> Tensor:
    """Return where the center of a patch without a pixel of the hole lies, (1, 1, H, W) bool like the hole.

    Patches lie completely within the image.
    """
    border = F.pad(torch.zeros_like(hole[..., RADIUS:-RADIUS, RADIUS:-RADIUS]), (RADIUS,) * 4, value=True)
    return ~(_overlapping(hole) | border) if min(hole.shape[-2:]) > 2 * RADIUS else torch.zeros_like(hole)


def _overlapping(hole: Tensor) -> Tensor:
    """Return where the center of a patch with a pixel of the hole lies."""
    return F.max_pool2d(hole.float(), SIDE, 1, RADIUS) > 0


class PatchMatches:
    """An image with a hole, and the match of every patch that overlaps the hole: a patch without a pixel of it.

    Patches are compared by the squared differences of their pixels, after a change of brightness and colour of at most
    `MAX_SHIFT`. Pixels are numbered by rows in the image with a border of `RADIUS` reflected pixels.

    Arguments:
        image: (1, C, H, W), with an initial estimate of the hole. Sides of at least `SIDE`.
        hole: (1, 1, H, W), bool, with a marked pixel and some `known_patches`.
        colours: number of channels that are colours; the others are compared, and copied, without a shift.

    Attributes:
        hole: as above.
        matches: (n,) int64, the number of the center of the match of each patch.
        distances: (n,), their squared distances.
    """

    def __init__(self, image: Tensor, hole: Tensor, colours: int) -> None:
        self.hole, self._colours = hole, colours
        self._height, self._width = image.shape[-2] + 2 * RADIUS, image.shape[-1] + 2 * RADIUS
        numbers = torch.arange(self._height * self._width, device=image.device)
        self._inner = numbers.view(self._height, self._width)[RADIUS:-RADIUS, RADIUS:-RADIUS]
        self._targets = self._inner[_overlapping(hole)[0, 0]]
        self._sources = self._inner[known_patches(hole)[0, 0]]
        self._hole = self._inner[hole[0, 0]]
        self._index = torch.full_like(numbers, -1)
        self._index[self._targets] = torch.arange(len(self._targets), device=image.device)
        self._allowed = torch.zeros_like(numbers, dtype=torch.bool)
        self._allowed[self._sources] = True
        reach = range(-RADIUS, RADIUS + 1)
        self._offsets = [row * self._width + column for row in reach for column in reach]
        self._mirrored, self._mirrored_index = self._mirrored_hole(numbers)
        padded = F.pad(image, (RADIUS,) * 4, mode="reflect")
        self._values = padded[0].flatten(1).T.contiguous()
        means = F.avg_pool2d(padded[:, :colours], SIDE, 1, RADIUS)
        self._means = means[0].flatten(1).T.contiguous()
        self._update_means()
        self.matches = self._sources[:1].expand(len(self._targets))
        self.distances = self._values.new_full((len(self._targets),), float("inf"))

    @property
    def image(self) -> Tensor:
        """The image (1, C, H, W) with the current estimate of the hole."""
        return self._values[self._inner].permute(2, 0, 1)[None]

    def start_at_random(self, noise: ImageNoise) -> None:
        """Match every patch with a random one."""
        self._set(self._random_sources(noise))

    def start_from(self, coarse: PatchMatches, noise: ImageNoise) -> None:
        """Take the matches and, as the first estimate of brightness and colours, the hole of a smaller image."""
        estimate = F.interpolate(coarse.image, self.hole.shape[-2:], mode="bicubic")[0].permute(1, 2, 0)
        self._set_hole(estimate[self.hole[0, 0]])
        places, found = self._places(self._targets), coarse._places(coarse.matches)
        sizes = [torch.tensor(x.hole.shape[-2:], device=self.hole.device) for x in (self, coarse)]
        ratio = sizes[0] / sizes[1]
        parent = ((places + 0.5) / ratio).long().minimum(sizes[1] - 1)
        index = coarse._index[coarse._numbers(parent)]
        shift = ((found - coarse._places(coarse._targets))[index] * ratio).round().long()
        candidates = self._numbers((places + shift).clamp(min=0).minimum(sizes[0] - 1))
        usable = (index >= 0) & self._allowed[candidates]
        self._set(torch.where(usable, candidates, self._random_sources(noise)))
        self._vote(torch.ones_like(self.distances))

    def improve(self, noise: ImageNoise) -> None:
        """Replace matches by better ones: those of neighbours, and random ones at decreasing distances."""
        for step in PROPAGATED:
            for offset in (1, -1, self._width, -self._width):
                neighbour = self._index[(self._targets + step * offset).clamp(0, len(self._index) - 1)]
                candidates = self.matches[neighbour] - step * offset
                self._try(torch.where(neighbour >= 0, candidates, self.matches))
        distance = max(self.hole.shape[-2:]) / 2
        while distance >= 1:
            rows, columns = (distance * self._normal(2, noise)).round().long()
            self._try(self.matches + rows * self._width + columns)
            distance /= 2
        self._try(self._random_sources(noise))

    def reconstruct(self) -> float:
        """Make the hole of the matches: each pixel is the mean of its values in the patches that contain it.

        Patches with a smaller distance count more. Returns the mean absolute change of the colours.
        """
        scale = 2 * self.distances.kthvalue(1 + 3 * (len(self.distances) - 1) // 4).values.clamp(min=1e-6)
        return self._vote((-self.distances / scale).exp().clamp(min=1e-6))

    def copy(self) -> None:
        """Make the hole of the matches: each pixel is that of the patch with the smallest distance."""
        best = torch.full((len(self._hole),), float("inf"), device=self.hole.device)
        values, shift = self._values[self._hole], self._shift(self._targets, self.matches)[0]
        for index, offset, exists in self._patches_of_hole():
            distances = torch.where(exists, self.distances[index], float("inf"))
            better = distances < best
            best = torch.where(better, distances, best)
            values = torch.where(better[:, None], self._values[self.matches[index] + offset] + shift[index], values)
        self._fill(values)

    def _vote(self, weights: Tensor) -> float:
        shift = self._shift(self._targets, self.matches)[0]
        total, weight = torch.zeros_like(self._values[self._hole]), weights.new_zeros(len(self._hole), 1)
        for index, offset, exists in self._patches_of_hole():
            part = (weights[index] * exists)[:, None]
            total += part * (self._values[self.matches[index] + offset] + shift[index])
            weight += part
        return self._fill(total / weight)

    def _patches_of_hole(self) -> Iterator[tuple[Tensor, int, Tensor]]:
        """Yield, for every offset, the patches that contain the pixels of the hole there, and whether they exist."""
        for offset in self._offsets:
            index = self._index[self._hole - offset]
            yield index.clamp(min=0), offset, index >= 0

    def _fill(self, values: Tensor) -> float:
        """Replace the pixels of the hole by values (n, C), and return the mean absolute change of the colours."""
        change = (values - self._values[self._hole])[:, : self._colours].abs().mean()
        self._set_hole(values)
        self.distances = self._compare(self._targets, self.matches)
        return float(change)

    def _set_hole(self, values: Tensor) -> None:
        self._values[self._mirrored] = values[self._mirrored_index]
        self._update_means()

    def _update_means(self) -> None:
        """Compute the means of the patches that overlap the hole; those of known patches do not change."""
        total = torch.zeros_like(self._means[self._targets])
        for offset in self._offsets:
            total += self._values[self._targets + offset, : self._colours]
        self._means[self._targets] = total / SIDE**2

    def _mirrored_hole(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels that show one of the hole, also in the border, and the index of that pixel in the hole."""
        order = torch.full_like(numbers, -1)
        order[self._hole] = torch.arange(len(self._hole), device=numbers.device)
        rows, columns = (
            F.pad(torch.arange(side, dtype=torch.float32)[None, None], (RADIUS, RADIUS), mode="reflect")[0, 0].long()
            for side in self._inner.shape
        )
        shown = order[self._inner[rows.to(numbers.device)][:, columns.to(numbers.device)].flatten()]
        mirrored = (shown >= 0).nonzero()[:, 0]
        return mirrored, shown[mirrored]

    def _set(self, matches: Tensor) -> None:
        self.matches, self.distances = matches, self._compare(self._targets, matches)

    def _try(self, candidates: Tensor) -> None:
        """Replace matches by candidates that are known patches with a smaller distance."""
        candidates = candidates.clamp(0, len(self._index) - 1)
        chosen = (self._allowed[candidates] & (candidates != self.matches)).nonzero()[:, 0]
        found = candidates[chosen]
        distances = self._compare(self._targets[chosen], found)
        better = distances < self.distances[chosen]
        self.matches = self.matches.index_copy(0, chosen[better], found[better])
        self.distances = self.distances.index_copy(0, chosen[better], distances[better])

    def _compare(self, targets: Tensor, sources: Tensor) -> Tensor:
        """Return the squared distances of patches, (n,)."""
        total = self._shift(targets, sources)[1]
        for offset in self._offsets:
            total = total + (self._values[targets + offset] - self._values[sources + offset]).square().sum(1)
        return total

    def _shift(self, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
        """Return the change of the sources' channels (n, C), and by how much it reduces the squared distances (n,)."""
        difference = self._means[targets] - self._means[sources]
        shift = difference.clamp(-MAX_SHIFT, MAX_SHIFT)
        change = ((1 + SHIFT_WEIGHT) * shift * shift - 2 * difference * shift).sum(1)
        return F.pad(shift, (0, self._values.shape[1] - self._colours)), SIDE * SIDE * change

    def _places(self, numbers: Tensor) -> Tensor:
        """Return rows and columns (n, 2) in the image."""
        return torch.stack([numbers // self._width, numbers % self._width], 1) - RADIUS

    def _numbers(self, places: Tensor) -> Tensor:
        return (places[:, 0] + RADIUS) * self._width + places[:, 1] + RADIUS

    def _normal(self, count: int, noise: ImageNoise) -> Tensor:
        """Return standard normal numbers (count, n)."""
        return noise.like(self._values.new_empty(1, count, len(self._targets)))[0]

    def _random_sources(self, noise: ImageNoise) -> Tensor:
        normal = noise.like(torch.empty(1, len(self._targets), dtype=torch.float64))[0]
        index = (torch.special.ndtr(normal) * len(self._sources)).long().clamp(max=len(self._sources) - 1)
        return self._sources[index.to(self._sources.device)]
