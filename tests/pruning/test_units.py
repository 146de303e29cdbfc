import numpy as np

from mipnet.network import INPUT, Affine, Flatten, Layer, Network, Node, ReLU
from mipnet.pruning import Mask, compact, prunable_layers
from mipnet.pruning.units import obstacle


def affine(n_out, n_in):
    return Affine(np.ones((n_out, n_in)), np.zeros(n_out))


def test_hidden_layers_with_and_without_relu():
    net = Network.sequential([affine(3, 2), ReLU(), affine(4, 3), affine(1, 4)])
    groups = prunable_layers(net)
    assert list(groups) == ["affine0", "affine1"]
    assert (groups["affine0"].width, groups["affine1"].width) == (3, 4)
    assert groups["affine0"].path == ("relu0",)
    assert groups["affine1"].path == ()
    assert groups["affine1"].readers == ("affine2",)


def test_the_output_layer_is_never_prunable_not_even_behind_a_relu():
    net = Network.sequential([Flatten(), affine(3, 4), Flatten(), ReLU(), affine(2, 3), ReLU()],
                             (2, 2))  # fmt: skip
    groups = prunable_layers(net)
    assert list(groups) == ["affine0"]
    assert groups["affine0"].path == ("flatten1", "relu0")
    assert obstacle(net, "affine1") == "is the output layer"
    assert "units are outputs of Affine" in obstacle(net, "relu0")
    assert obstacle(net, "affine0") == ""


def test_branches_that_miss_the_output_do_not_hold_units():
    nodes = (
        Node("trunk", affine(3, 2), (INPUT,)),
        Node("relu", ReLU(), ("trunk",)),
        Node("side", affine(5, 3), ("relu",)),
        Node("side_relu", ReLU(), ("side",)),
        Node("out", affine(1, 3), ("relu",)),
    )
    net = Network(nodes, (2,))
    assert prunable_layers(net)["trunk"].readers == ("side", "out")
    assert list(prunable_layers(net)) == ["trunk"]
    assert obstacle(net, "side") == "does not reach the output"


class Other(Layer):
    kind = "Other"
    output_shape = Flatten.output_shape
    forward = Flatten.forward


# Only its values matter here; the other rules of a layer stay open.
Other.__abstractmethods__ = frozenset()


def test_layers_of_another_kind_need_all_their_inputs():
    net = Network.sequential([affine(3, 2), ReLU(), affine(3, 3), Other(), affine(1, 3)])
    assert list(prunable_layers(net)) == ["affine0"]
    assert "'other0' of kind Other" in obstacle(net, "affine1")
    # Behind it nothing is known: its Affine reader stays whole, and so does what feeds it.
    mask = Mask.from_kept(net, {"affine0": []})
    small = compact(net, mask)
    assert [n.name for n in small.nodes] == ["affine1", "other0", "affine2"]
    assert small.shapes["affine1"] == (3,)
