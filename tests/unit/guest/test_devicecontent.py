"""Where a device is looked at for data."""

from itertools import pairwise

import pytest

from harness.guest.devicecontent import sample_offsets

pytestmark = pytest.mark.unit

MIB = 1024 * 1024


@pytest.mark.parametrize("size_bytes", [4096, 16 * MIB, 5 * 1024 * MIB + 512, 1024 * 1024 * MIB])
def test_offsets_are_blocks_inside_the_device(size_bytes: int) -> None:
    offsets = sample_offsets(size_bytes, 4096)
    assert offsets == sorted(set(offsets))
    assert all(offset % 4096 == 0 and 0 <= offset <= size_bytes - 4096 for offset in offsets)


def test_a_small_device_is_looked_at_in_full() -> None:
    assert sample_offsets(16 * MIB, 4096) == list(range(0, 16 * MIB, 4096))


def test_no_stretch_of_an_even_share_is_missed() -> None:
    size_bytes, count = 64 * 1024 * MIB, 4096
    offsets = [*sample_offsets(size_bytes, count), size_bytes]
    assert max(after - before for before, after in pairwise(offsets)) <= size_bytes // count


def test_a_seed_draws_the_same_again_and_none_draws_anew() -> None:
    assert sample_offsets(1024 * MIB, 256, seed=1) == sample_offsets(1024 * MIB, 256, seed=1)
    assert sample_offsets(1024 * MIB, 256) != sample_offsets(1024 * MIB, 256)
