import numpy as np
import pytest

from mipnet import graph
from mipnet.errors import GraphError

CHAIN = [[0.5, 0.5], [0.5, 0.5]]
TABLES = ["x", None, [["a"]], [[1], [1, 2]], [[None]], np.ones((2, 2)) * 1j, object()]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize(
    "name", ["stationary", "transition", "degree", "js", "asym", "cos", "cka", "flow"]
)
def test_tables_hold_real_numbers(name, table):
    with pytest.raises(GraphError, match="must be one array of numbers"):
        getattr(graph, name)(table)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"damping": "x"}, "damping must be a number from 0 to 1"),
        ({"damping": None}, "damping must be a number from 0 to 1"),
        ({"damping": np.nan}, "damping must be a number from 0 to 1"),
        ({"start": "x"}, "start must be one array of numbers"),
        ({"start": ["a", "b"]}, "start must be one array of numbers"),
        ({"tolerance": "x"}, "tolerance must be a number"),
        ({"tolerance": np.nan}, "tolerance must be a number"),
        ({"max_iterations": "x"}, "whole number from 1 on"),
        ({"max_iterations": 0}, "whole number from 1 on"),
        ({"max_iterations": 1.5}, "whole number from 1 on"),
    ],
)
def test_options_of_the_walk_are_numbers(options, match):
    with pytest.raises(GraphError, match=match):
        graph.stationary(CHAIN, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        ((3, [[1.0]], [1.0]), {}, "weights, one entry for each layer,"),
        (([[[1.0]]], None, [1.0]), {}, "activations, one entry for each layer,"),
        (([[[1], [1, 2]]], [[1.0]], [1.0]), {}, "weights of layer 0 must be one array"),
        (([[[1.0]]], [["a"]], [1.0]), {}, "activations of layer 0 must be one array"),
        (([[[1.0]]], [[1.0]], "x"), {}, "start must be one array"),
        (([[[1.0]]], [[1.0]], [1.0]), {"gamma": "x"}, "gamma must be a number from 0 to 1"),
        (([[[1.0]]], [[1.0]], [1.0]), {"theta": 1.5}, "theta must be a number from 0 to 1"),
    ],
)
def test_the_rank_of_layers_is_asked_with_numbers(arguments, options, match):
    with pytest.raises(GraphError, match=match):
        graph.mlp_rank(*arguments, **options)


def test_a_temperature_is_a_number():
    for tau in ("x", None, 0.0, np.inf, np.nan):
        with pytest.raises(GraphError, match="tau must be a"):
            graph.asym(np.ones((2, 2)), tau)
