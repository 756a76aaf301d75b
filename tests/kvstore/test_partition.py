"""Every array is cut without gaps, in slices that are small enough, evenly over the servers."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from psdist.kvstore.partition import Slice, partition

_keys = st.integers(0, 2**64 - 1)
_lengths = st.integers(0, 40_000_000)
_itemsizes = st.sampled_from([1, 2, 4, 8])
_servers = st.integers(1, 16)
_slices = st.integers(64, 65536).map(lambda lines: lines * 64)


@given(_keys, _lengths, _itemsizes, _servers, _slices)
def test_slices_cover_the_array_in_order_and_none_is_larger_than_the_setting(
    key: int, length: int, itemsize: int, num_servers: int, slice_nbytes: int
) -> None:
    slices = partition(key, length, itemsize, num_servers, slice_nbytes)
    end = 0
    for s in slices:
        assert s.offset == end
        assert s.offset * itemsize % 64 == 0
        assert s.length * itemsize <= slice_nbytes
        assert 0 <= s.server < num_servers
        assert s.length > 0 or length == 0
        end += s.length
    assert end == length


@given(_keys, _lengths, _itemsizes, _servers, _slices)
def test_no_two_servers_shares_of_one_array_differ_by_more_than_a_slice(
    key: int, length: int, itemsize: int, num_servers: int, slice_nbytes: int
) -> None:
    share = Counter(dict.fromkeys(range(num_servers), 0))
    for s in partition(key, length, itemsize, num_servers, slice_nbytes):
        share[s.server] += s.length * itemsize
    if length * itemsize >= num_servers << 16:
        assert max(share.values()) - min(share.values()) <= slice_nbytes


def test_a_small_array_is_whole_and_small_arrays_spread_over_the_servers() -> None:
    homes = Counter(partition(key, 100, 4, 3, 1 << 20)[0].server for key in range(3000))
    assert all(len(partition(key, 100, 4, 3, 1 << 20)) == 1 for key in range(10))
    assert min(homes.values()) >= 900


def test_one_large_array_on_one_server_is_cut_by_the_setting() -> None:
    assert partition(7, 1 << 19, 4, 1, 1 << 20) == (Slice(0, 0, 1 << 18), Slice(0, 1 << 18, 1 << 18))
