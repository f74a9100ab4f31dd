"""Communicators with real ranks."""

import pytest


@pytest.mark.parametrize(("ranks", "group_size"), [(1, 1), (2, 1), (4, 2), (5, 2), (8, 2), (8, 3)])
def test_split_mail_and_states(mpi, ranks, group_size):
    assert mpi("comm/exchange_program.py", ranks, str(group_size)).count("ok") == ranks
