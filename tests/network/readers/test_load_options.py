"""Wrong arguments of ``load`` are told, not raised raw."""

from __future__ import annotations

import pytest
from torch import nn

from mipnet.errors import NetworkError, ReadError
from mipnet.network.layers import AvgPool, MaxPool
from mipnet.network.readers import load


@pytest.mark.parametrize("reader", [None, "torch"])
def test_unknown_options_are_named(reader):
    with pytest.raises(ReadError, match="no option foo; it has input_shape"):
        load(nn.Linear(2, 1), reader=reader, foo=3)


def test_a_folder_is_no_file(tmp_path):
    folder = tmp_path / "net.onnx"
    folder.mkdir()
    with pytest.raises(ReadError, match="is a folder"):
        load(folder)


@pytest.mark.parametrize("kind", [MaxPool, AvgPool])
def test_a_kernel_is_a_sequence(kind):
    with pytest.raises(NetworkError, match="one number for every spatial axis"):
        kind(2, 1)
