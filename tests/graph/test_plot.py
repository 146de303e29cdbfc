from xml.etree import ElementTree as ET

import numpy as np
import pytest

from mipnet.errors import GraphError
from mipnet.graph import degree, svg, transition, unit_graph

AFFINITY = np.array([[0, 0.9, 0.1], [0.9, 0, 0.0], [0.1, 0.0, 0]])
NS = "{http://www.w3.org/2000/svg}"


def test_the_graph_carries_ranks_masks_and_chances():
    graph = unit_graph(AFFINITY, kept=[0, 2], labels=["a", "b", "c"])
    assert set(graph.edges) == {(0, 1), (0, 2), (1, 0), (2, 0)}
    assert graph.edges[0, 1] == {"weight": 0.9, "chance": transition(AFFINITY)[0, 1]}
    assert [graph.nodes[k]["kept"] for k in range(3)] == [True, False, True]
    assert [graph.nodes[k]["rank"] for k in range(3)] == degree(AFFINITY).tolist()
    strongest = unit_graph(AFFINITY, [1.0, 2.0, 3.0], top=1)
    assert set(strongest.edges) == {(0, 1), (1, 0), (2, 0)}
    assert strongest.nodes[2]["rank"] == 3.0


def test_the_picture_shows_every_unit_and_edge():
    graph = unit_graph(AFFINITY, kept=np.array([True, True, False]), labels=["<a>", "b", "c"])
    text = svg(graph, title="layer & more", seed=3)
    root = ET.fromstring(text)  # noqa: S314 (our own text)
    circles, edges = root.findall(f".//{NS}circle"), root.findall(f"{NS}line")
    assert (len(circles), len(edges)) == (3, 4)
    inside = [0.0 <= float(c.get(k)) <= 480.0 for c in circles for k in ("cx", "cy")]
    assert all(inside)
    sizes = [float(c.get("r")) for c in circles]
    assert sizes[0] > sizes[1] > sizes[2]
    assert len({c.get("fill") for c in circles[:2]}) == 1
    assert circles[2].get("fill") != circles[0].get("fill")
    assert root.find(f".//{NS}g/{NS}title").text.startswith("<a>: rank 0.5")
    assert svg(graph, title="layer & more", seed=3) == text


def test_a_single_unit_is_drawn_too():
    root = ET.fromstring(svg(unit_graph([[0.0]])))  # noqa: S314
    assert len(root.findall(f".//{NS}circle")) == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"rank": [1.0]}, "3 units need as many"),
        ({"rank": [np.nan] * 3}, "finite"),
        ({"labels": ["a"]}, "labels"),
        ({"kept": [3]}, r"unit numbers 0\.\.2"),
        ({"kept": [0.5]}, "3 flags"),
    ],
)
def test_bad_input_is_refused(arguments, match):
    with pytest.raises(GraphError, match=match):
        unit_graph(AFFINITY, **arguments)


@pytest.mark.parametrize(
    ("graph", "options", "match"),
    [
        ("x", {}, "graph .* must be a DiGraph, not 'x'"),
        (unit_graph(AFFINITY), {"title": 3}, "title must be a str"),
        (unit_graph(AFFINITY), {"size": "big"}, "size must be a"),
    ],
)
def test_pictures_of_something_else_are_refused(graph, options, match):
    with pytest.raises(GraphError, match=match):
        svg(graph, **options)
