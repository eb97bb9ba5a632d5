import pytest
import torch

from restorekit.core.masks import cell_groups


@pytest.mark.parametrize(("dilations", "distance", "count"), [(0, 1, 1), (0, 2, 2), (1, 3, 1), (1, 4, 2)])
def test_cells_are_grouped_up_to_the_distance_that_dilations_allow(dilations, distance, count) -> None:
    mask = torch.zeros(1, 1, 30, 43, dtype=torch.bool)
    mask[0, 0, 3, 3] = mask[0, 0, 3 + 4 * distance, 3 + 4 * distance] = True
    groups, found = cell_groups(mask, 4, dilations)
    assert (groups.shape, found) == ((8, 11), count)
    expected = torch.zeros(8, 11)
    expected[0, 0], expected[distance, distance] = 1, count
    assert torch.equal(torch.from_numpy(groups).float(), expected)


def test_values_above_half_are_marked() -> None:
    assert cell_groups(torch.tensor([[[[0.5, 0.4], [0.0, 0.5]]]]), 1)[1] == 0
    assert cell_groups(torch.tensor([[[[0.5, 0.6], [0.0, 0.5]]]]), 2)[0].tolist() == [[1]]
