import numpy as np
import pytest

from mipnet.arguments import number, numbers, require
from mipnet.errors import GraphError, MaskError


def test_what_is_of_the_right_kind_is_handed_on():
    assert require("x", (int, str), "it", MaskError) == "x"
    assert number(np.float32(0.5), "it", MaskError, (0, 1)) == 0.5
    assert number(np.int64(3), "it", MaskError) == 3.0
    given = np.array([True, False])
    found = numbers(given, "it", MaskError)
    assert found.dtype == np.float64
    assert found.tolist() == [1.0, 0.0]
    assert numbers([[1, 2]], "it", MaskError).shape == (1, 2)
    assert np.isnan(numbers([np.nan], "it", MaskError)).all()


@pytest.mark.parametrize("values", ["x", ["a"], None, [None], [[1], [1, 2]], [1j], {}, object()])
def test_what_is_no_array_of_numbers_is_refused(values):
    with pytest.raises(GraphError, match="the table must be one array of numbers"):
        numbers(values, "the table", GraphError)


@pytest.mark.parametrize("value", ["1", None, True, np.nan, 1j, [1], -0.1, 2, np.inf])
def test_what_is_no_number_of_the_interval_is_refused(value):
    with pytest.raises(GraphError, match="the share must be a number from 0 to 1, not"):
        number(value, "the share", GraphError, (0.0, 1.0))


def test_messages_are_short_and_name_what_is_wanted():
    with pytest.raises(MaskError, match=r"it must be a str or a int, not \[0, 1.*\.\.\. \(list\)"):
        require(list(range(99)), (str, int), "it", MaskError)
    with pytest.raises(MaskError, match="from 0 on, not -1"):
        number(-1, "it", MaskError, (0.0, np.inf))
