"""The registry of readers, and what ``load`` does with what it cannot read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mipnet.errors import ReadError
from mipnet.network import Network
from mipnet.network.readers import READERS, Reader, from_arrays, load, register_reader

NET = from_arrays([[[1.0, 2.0]]], [[3.0]])


class Plan:
    """A source no built-in reader takes."""


class PlanReader(Reader):
    takes = "a Plan"

    def accepts(self, source: object) -> bool:
        return isinstance(source, Plan)

    def read(self, source: Any, *, scale: float = 1.0) -> Network:
        return from_arrays([[[scale]]], [[0.0]])


@pytest.fixture
def clean_registry():
    before = dict(READERS)
    yield
    READERS.clear()
    READERS.update(before)


@pytest.mark.usefixtures("clean_registry")
def test_a_third_party_reader_registers_and_gets_its_options():
    register_reader("plan")(PlanReader)
    assert load(Plan())(2.0 * np.ones(1)) == [2.0]
    assert load(Plan(), scale=3.0)(np.ones(1)) == [3.0]
    assert load(Plan(), reader="plan").n_inputs == 1
    with pytest.raises(ReadError, match="colour"):
        load(Plan(), colour="red")


def test_missing_methods_fail_at_registration():
    class Half(Reader):
        takes = "nothing"

        def accepts(self, source: object) -> bool:
            return False

    with pytest.raises(TypeError, match="does not define read"):
        register_reader("half")(Half)
    assert "half" not in READERS


def test_missing_description_and_taken_names_fail_at_registration():
    class Silent(Reader):
        def accepts(self, source: object) -> bool:
            return False

        def read(self, source: Any) -> Network:
            return NET

    with pytest.raises(TypeError, match="takes"):
        register_reader("silent")(Silent)
    with pytest.raises(TypeError, match="taken name"):
        register_reader("onnx")(PlanReader)


def test_a_network_is_returned_as_it_is():
    assert load(NET) is NET


def test_unknown_objects_are_named_with_what_is_accepted():
    with pytest.raises(ReadError, match=r"Plan.*\.npz.*\.onnx.*\.safetensors.*torch\.nn\.Module"):
        load(Plan())
    for source in (None, 3, object(), np.ones((2, 2)), [], [[1.0, 2.0]]):
        with pytest.raises(ReadError, match="accepted"):
            load(source)


def test_unknown_reader_names_are_listed():
    with pytest.raises(ReadError, match=r"unknown reader 'tflite'.*npz"):
        load(Plan(), reader="tflite")


def test_unknown_suffix_and_missing_file(tmp_path: Path):
    path = tmp_path / "model.h5"
    path.write_bytes(b"\x89HDF")
    with pytest.raises(ReadError, match=r"unknown format \(\.h5\).*accepted"):
        load(path)
    for name in ("gone.onnx", "gone.npz", "gone.safetensors", "gone.h5", "gone"):
        with pytest.raises(ReadError, match="no such file"):
            load(tmp_path / name)
        with pytest.raises(ReadError, match="no such file"):
            load(str(tmp_path / name))
    for name in ("folder.onnx", "folder.npz", "folder.safetensors"):
        (tmp_path / name).mkdir()
        with pytest.raises(ReadError, match="is a folder"):
            load(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".joblib"])
def test_pickles_are_refused_unopened(tmp_path: Path, suffix: str):
    path = tmp_path / f"model{suffix}"
    # Would create a file if unpickled.
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(ReadError, match=r"pickles.*safetensors"):
        load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shape", [(), 0, -1, (3, 0), 2.5, "4", (1, "a")])
def test_input_shape_must_be_positive_integers(shape: Any):
    state = {"0.weight": np.ones((1, 2))}
    with pytest.raises(ReadError, match="input_shape"):
        load(state, input_shape=shape)


def test_importing_and_dispatching_loads_no_framework():
    code = (
        "import sys\n"
        "from mipnet.network.readers import load, READERS\n"
        "for source in (object(), 'x.h5', [1, 2]):\n"
        "    assert not any(r.accepts(source) for r in READERS.values())\n"
        "net = load([([[1.0]], [2.0])])\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'sklearn', 'safetensors', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
