"""The number of BLAS threads is 1 within a block, and what it was afterwards."""

import threading

import pytest

from psdist import blas


def test_products_run_in_one_thread_within_the_block_however_blocks_overlap():
    get, set_ = blas._openblas()
    before = get()
    try:
        set_(2)
        if get() != 2:
            pytest.skip("NumPy's BLAS here is not OpenBLAS, or has one thread")
        entered, leave = threading.Event(), threading.Event()

        def other():
            with blas.one_blas_thread():
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with blas.one_blas_thread():
            thread.start()
            assert entered.wait(10)
            assert get() == 1
        assert get() == 1  # the other block still runs
        leave.set()
        thread.join()
        assert get() == 2
    finally:
        set_(before)
