"""Small work on one core takes none from other threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch

from engine.int8 import one_thread


def test_one_thread_is_the_calling_threads_alone() -> None:
    def elsewhere() -> int:
        with ThreadPoolExecutor(1) as other:
            return other.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            assert elsewhere() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
