"""Every method takes a torch module itself, leaves it alone, and its result goes back to torch."""

import numpy as np
import pytest

import mipnet
from mipnet.errors import MipnetError, ReadError, UnsupportedError
from mipnet.pruning import Parameters, prune, pruners

torch = pytest.importorskip("torch")
nn = torch.nn

RNG = np.random.default_rng(0)
QUICK = {
    "bmrs": {"epochs": 2, "finetune_epochs": 1},
    "elastic_net": {"epochs": 1, "finetune_epochs": 1},
    "gohsp": {"epochs": 1, "finetune_epochs": 1},
    "reconvene": {"epochs": 1, "least": 1},
    "sasp": {"tile": 2},
    "scratch": {"epochs": 1},
    "spr": {"epochs": 1, "finetune_epochs": 1},
}


class Residual(nn.Module):
    """Convolutions, normalisation, maximum pooling, a residual sum and a head."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.inner, self.inner_norm = nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.outer, self.outer_norm = nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.hidden, self.head = nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.stem(x))))
        y = self.outer_norm(self.outer(torch.relu(self.inner_norm(self.inner(x)))))
        return self.head(torch.relu(self.hidden(torch.relu(x + y).flatten(1))))


def modules():
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    conv = Residual()
    with torch.no_grad():
        for _ in range(3):
            conv(torch.randn(16, 1, 8, 8))  # statistics of the normalisation
    return {"mlp": (mlp, (4,)), "residual": (conv, (1, 8, 8))}


MODULES = modules()


def everything(module):
    """State, modes, gradients and random state that a caller could miss."""
    state = [(name, value.clone()) for name, value in module.state_dict().items()]
    modes = [part.training for part in module.modules()]
    slopes = [(p.requires_grad, p.grad) for p in module.parameters()]
    hooks = [len(part._forward_hooks) for part in module.modules()]
    return state, (modes, slopes, hooks, torch.is_grad_enabled(), torch.get_default_dtype())


@pytest.mark.parametrize(
    ("which", "training"), [("mlp", True), ("mlp", False), ("residual", False)], ids=str
)
@pytest.mark.parametrize("method", pruners())
def test_modules_go_in_and_come_out(method, which, training):
    module, shape = MODULES[which]
    module.train(training)
    state, rest = everything(module)
    seed = torch.random.get_rng_state()
    rng = np.random.default_rng(0)
    x, y = rng.random((30, *shape)), np.arange(30) % 3
    result = prune(module, method, 0.5, x, y, **QUICK.get(method, {}))
    after, rest_after = everything(module)
    assert rest_after == rest
    for (name, value), (_, found) in zip(state, after, strict=True):
        assert torch.equal(value, found), name
    assert torch.equal(torch.random.get_rng_state(), seed)
    zeros = sum((v == 0.0).sum() for n in result.masked.nodes for v in n.layer.parameters)
    assert zeros > 60  # half of the units, or of the tiles
    assert result.report.parameters_after < result.report.parameters_before or method == "sasp"
    small = mipnet.to_torch(result.network)
    kind = next(small.parameters()).dtype
    with torch.no_grad():
        found = small(torch.tensor(x, dtype=kind)).double().numpy()
    np.testing.assert_allclose(found, result.network(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.network(x), result.masked(x), rtol=1e-9, atol=1e-9)


def test_what_computes_otherwise_in_training_is_refused_and_left_alone():
    module = MODULES["residual"][0].train()
    state, rest = everything(module)
    for options in ({"data": RNG.random((5, 1, 8, 8))}, {"input_shape": (1, 8, 8)}):
        with pytest.raises(UnsupportedError, match=r"call model\.eval\(\)") as caught:
            prune(module, "magnitude", 0.5, **options)
        assert "input_shape" not in str(caught.value)
    after, rest_after = everything(module)
    assert rest_after == rest
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(state, after, strict=True))


def test_files_say_what_is_wrong_with_them(tmp_path):
    (tmp_path / "net.npz").write_bytes(b"nothing")
    for data in (RNG.random((5, 4)), RNG.random((5, 1, 2, 2))):
        with pytest.raises(ReadError, match=r"net\.npz") as caught:
            prune(tmp_path / "net.npz", "activation", 0.5, data)
        assert "input_shape" not in str(caught.value)


def test_the_shape_of_an_image_comes_from_the_data_or_the_caller():
    module = MODULES["residual"][0].eval()
    small = prune(module, "magnitude", 0.5, input_shape=(1, 8, 8)).network
    assert small.input_shape == (1, 8, 8)
    again = prune(module, "magnitude", budget=Parameters(400), input_shape=[1, 8, 8]).report
    assert again.reached <= 400
    with pytest.raises(MipnetError, match="give input_shape="):
        prune(module, "magnitude", 0.5)
    # Data that do not fit are not taken for the shape of the network.
    mlp = MODULES["mlp"][0]
    with pytest.raises(MipnetError, match="data do not fit"):
        prune(mlp, "activation", 0.5, RNG.random((5, 2, 3)))
    with pytest.raises(MipnetError, match=r"takes inputs of shape \(4,\)"):
        prune(mipnet.load(mlp), "magnitude", 0.5, input_shape=(5,))
