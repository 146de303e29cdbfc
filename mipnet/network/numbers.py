"""Numbers of other frameworks as float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import ReadError

Array = npt.NDArray[np.float64]


def numeric(values: Any, what: str) -> tuple[Array, bool | None]:
    """Values as float64, and whether they came in single precision or less (None: integers).

    Parameters
    ----------
    values : array_like or torch.Tensor
    what : str
        Name for messages.

    Raises
    ------
    ReadError
        When they are not real numbers.
    """
    try:
        if hasattr(values, "detach"):
            tensor = values.detach().cpu()
            if tensor.is_complex():
                msg = f"{what}: holds complex values, not real numbers"
                raise ReadError(msg)
            single = tensor.element_size() <= 4 if tensor.is_floating_point() else None
            return np.asarray(tensor.double().numpy()), single
        array = np.asarray(values)
        # ml_dtypes register bfloat16 under the kind of raw bytes.
        if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
            msg = f"{what}: holds values of type {array.dtype}, not real numbers"
            raise ReadError(msg)
        single = None if array.dtype.kind in "iub" else array.dtype.itemsize <= 4
        return array.astype(np.float64), single
    except (TypeError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, ReadError):
            raise
        msg = f"{what}: cannot be read as an array of numbers: {error}"
        raise ReadError(msg) from error
