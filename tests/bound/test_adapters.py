"""What every adapter fetches is the network's own last layer, and the network is left as it was."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.special import expit, softmax

from widthwise import bound
from widthwise.bound.adapters.layer import linear_readout
from widthwise.errors import InputError

P, N0, N1, N2, D = 37, 6, 5, 4, 3


@pytest.fixture
def X(rng):
    return rng.standard_normal((P, N0))


@pytest.fixture
def weights(rng):
    """Of a tanh network with biases, far from unit scale."""
    sizes = [(N1, N0), (N2, N1), (D, N2)]
    return [(rng.normal(0.2, 0.9, size), rng.normal(-0.3, 0.5, size[0])) for size in sizes]


def by_hand(weights, X):
    """(features, predictions)"""
    for W, b in weights[:-1]:
        X = np.tanh(X @ W.T + b)
    W, b = weights[-1]
    return X, X @ W.T + b


def torch_network(weights):
    torch = pytest.importorskip("torch")
    layers = []
    for W, b in weights:
        linear = torch.nn.Linear(*W.T.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.from_numpy(W.copy()), torch.from_numpy(b.copy())
        layers += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def equinox_network(weights):
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    network = eqx.nn.MLP(N0, D, N1, 2, jax.numpy.tanh, key=jax.random.key(0))
    layers = tuple(
        eqx.tree_at(lambda m: (m.weight, m.bias), linear, tuple(map(jax.numpy.asarray, pair)))
        for linear, pair in zip(network.layers, weights, strict=True)
    )
    return eqx.tree_at(lambda m: m.layers, network, layers)


def mapped_equinox(weights):
    """An Equinox module of a whole batch, with a jit of its own and the readout not last in the tree."""
    import equinox as eqx
    import jax

    class Batched(eqx.Module):
        readout: eqx.nn.Linear
        trunk: list

        @eqx.filter_jit
        def __call__(self, X):
            return jax.vmap(self.one)(X)

        def one(self, x):
            for linear in self.trunk:
                x = jax.numpy.tanh(linear(x))
            return self.readout(x)

    *trunk, readout = equinox_network(weights).layers
    return Batched(readout, trunk)


def nnx_network(weights):
    jax, nnx = pytest.importorskip("jax"), pytest.importorskip("flax.nnx")
    layers = []
    for W, b in weights:
        linear = nnx.Linear(*W.T.shape, rngs=nnx.Rngs(0))
        linear.kernel.value, linear.bias.value = jax.numpy.asarray(W.T), jax.numpy.asarray(b)
        layers += [linear, nnx.tanh]
    return nnx.Sequential(*layers[:-1])


def linen_network(weights):
    linen = pytest.importorskip("flax.linen")

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x, train):
            for W, _ in weights[:-1]:
                x = linen.Dropout(0.5, deterministic=not train)(linen.tanh(linen.Dense(len(W))(x)))
            return linen.Dense(D)(x)

    kernels = {f"Dense_{i}": {"kernel": W.T, "bias": b} for i, (W, b) in enumerate(weights)}
    return Network(), {"params": kernels}


def scikit_network(weights, X):
    from sklearn.neural_network import MLPRegressor

    network = MLPRegressor(hidden_layer_sizes=(N1, N2), activation="tanh", max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(X, np.zeros((len(X), D)) + X[:, :1])
    network.coefs_, network.intercepts_ = [W.T for W, _ in weights], [b for _, b in weights]
    return network


NETWORKS = {
    "torch": (torch_network, 1e-12),
    "equinox": (equinox_network, 3e-6),
    "equinox, of a batch": (mapped_equinox, 3e-6),
    "nnx": (nnx_network, 3e-6),
    "linen": (linen_network, 3e-6),
    "scikit-learn": (scikit_network, 1e-12),
    "functions": (lambda weights: (lambda X: by_hand(weights, X)[0], lambda h: h @ weights[-1][0].T + weights[-1][1]),
                  1e-12),
}  # fmt: skip


def build(kind, weights, X):
    make, tolerance = NETWORKS[kind]
    return (make(weights, X) if kind == "scikit-learn" else make(weights)), tolerance


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch_size", [1024, 9])
def test_it_is_the_network_by_hand(kind, batch_size, weights, X):
    network, tolerance = build(kind, weights, X)
    found = bound.fetch(network, X, batch_size=batch_size)
    features, predictions = by_hand(weights, X)
    assert found.features.dtype == found.predictions.dtype == np.float64
    assert found.features.shape == (P, N2)
    np.testing.assert_allclose(found.features, features, atol=tolerance)
    np.testing.assert_allclose(found.predictions, predictions, atol=10 * tolerance)
    assert found.constant is True


@pytest.mark.parametrize("kind", NETWORKS)
def test_one_output_is_a_vector(kind, weights, X):
    weights[-1] = (weights[-1][0][:1], weights[-1][1][:1])
    if kind in ("equinox", "equinox, of a batch", "linen"):
        pytest.skip("built with D outputs")
    network, tolerance = build(kind, weights, X)
    found = bound.fetch(network, X)
    np.testing.assert_allclose(found.predictions, by_hand(weights, X)[1][:, 0], atol=10 * tolerance)


def test_dropout_and_running_averages_are_in_use_and_the_module_is_left_as_it_was(X):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(N0, N1), torch.nn.BatchNorm1d(N1), torch.nn.ReLU(), torch.nn.Dropout(0.5),
        torch.nn.Linear(N1, 1),
    )  # fmt: skip
    network[1].eval()  # frozen statistics in a network that trains
    network[0].weight.grad = torch.ones_like(network[0].weight)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    random = torch.get_rng_state()
    found = bound.fetch(network, X)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert torch.equal(network[0].weight.grad, torch.ones(N1, N0))
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert torch.is_grad_enabled()
    with torch.no_grad():
        network.eval()
        expected = network(torch.from_numpy(X).float())[:, 0]
    np.testing.assert_array_equal(found.predictions, expected.double().numpy())


def test_hooks_and_mode_go_when_the_module_fails(X):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Linear(N0, 3), torch.nn.Linear(4, 1))
    with pytest.raises(InputError, match="expected inputs that the module takes"):
        bound.fetch(network, X)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(module.training for module in network.modules())


def test_the_last_that_runs_is_not_the_last_defined(X):
    torch = pytest.importorskip("torch")

    class Backwards(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.trunk = torch.nn.Linear(N1, 1, bias=False), torch.nn.Linear(N0, N1)
            self.aside = torch.nn.Linear(N0, 7)  # never runs

        def forward(self, x):
            assert not torch.is_grad_enabled()
            return self.head(torch.relu_(self.trunk(x)))[:, 0]

    network = Backwards().double()
    found = bound.fetch(network, X)
    trunk = network.trunk
    expected = np.maximum(X @ trunk.weight.detach().numpy().T + trunk.bias.detach().numpy(), 0.0)
    np.testing.assert_allclose(found.features, expected, atol=1e-12)
    assert found.constant is False
    np.testing.assert_array_equal(bound.fetch(network, X, layer="head").features, found.features)
    for layer, words in (("haed", "did you mean 'head'"), ("aside", "that runs"), ("trunk", "linear in the features"),
                         ("", "expected an nn.Linear")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            bound.fetch(network, X, layer=layer)


def test_rescaled_outputs_are_still_linear_and_squashed_ones_are_not(X):
    torch = pytest.importorskip("torch")
    trunk = [torch.nn.Linear(N0, N1), torch.nn.Tanh(), torch.nn.Linear(N1, D, bias=False)]

    class Scaled(torch.nn.Module):
        def forward(self, f):
            return 12.5 * f + 3.0

    found = bound.fetch(torch.nn.Sequential(*trunk, Scaled()), X)
    A = np.column_stack([found.features, np.ones(P)])
    np.testing.assert_allclose(A @ np.linalg.lstsq(A, found.predictions, rcond=None)[0], found.predictions, atol=1e-4)
    assert found.constant is True
    for after in (torch.nn.Softmax(1), torch.nn.Tanh(), torch.nn.ReLU(inplace=True)):
        with pytest.raises(InputError, match="something after it"):
            bound.fetch(torch.nn.Sequential(*trunk, after), X)


def test_tensors_of_integers_reach_an_embedding(rng):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Embedding(11, 4), torch.nn.Flatten(), torch.nn.Linear(12, 2))
    words = rng.integers(0, 11, (P, 3))
    found = bound.fetch(network, words)
    expected = network[0].weight.detach().numpy()[words].reshape(P, 12)
    np.testing.assert_array_equal(found.features, expected)


def test_features_that_are_no_vectors_are_refused(rng):
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"expected features \(P, N_out\)"):
        bound.fetch(torch.nn.Sequential(torch.nn.Linear(4, 2)), rng.standard_normal((P, 3, 4)))


def test_an_equinox_module_of_one_number(X):
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    network = eqx.nn.MLP(N0, "scalar", N1, 2, use_final_bias=False, key=jax.random.key(3))
    found = bound.fetch(network, X, batch_size=10)
    expected = jax.vmap(network)(jax.numpy.asarray(X, dtype=network.layers[0].weight.dtype))
    np.testing.assert_allclose(found.predictions, expected, atol=1e-6)
    np.testing.assert_allclose(found.features @ np.asarray(network.layers[-1].weight)[0], expected, atol=1e-6)
    assert found.constant is False
    with pytest.raises(InputError, match=r"did you mean 'layers\[2\]'"):
        bound.fetch(network, X, layer="layers[3]")
    with pytest.raises(InputError, match="linear in the features of 'layers"):
        bound.fetch(network, X, layer="layers[1]")
    with pytest.raises(InputError, match="got one without"):
        bound.fetch(eqx.nn.LayerNorm(N0), X)
    with pytest.raises(InputError, match="expected inputs that the module takes"):
        bound.fetch(network, X[:, :4])


def test_equinox_and_nnx_drop_nothing(X):
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    a, b = eqx.nn.Linear(N0, N1, key=jax.random.key(1)), eqx.nn.Linear(N1, D, key=jax.random.key(2))
    network = eqx.nn.Sequential([a, eqx.nn.Dropout(0.5), b])
    np.testing.assert_allclose(bound.fetch(network, X).features, X @ np.asarray(a.weight).T + a.bias, atol=3e-6)
    assert network.layers[1].inference is False
    nnx = pytest.importorskip("flax.nnx")
    a, b = nnx.Linear(N0, N1, rngs=nnx.Rngs(0)), nnx.Linear(N1, D, use_bias=False, rngs=nnx.Rngs(1))
    network = nnx.Sequential(a, nnx.Dropout(0.5, rngs=nnx.Rngs(2)), b)
    found = bound.fetch(network, X)
    np.testing.assert_allclose(found.features, X @ np.asarray(a.kernel[...]) + np.asarray(a.bias[...]), atol=3e-6)
    assert found.constant is False
    assert network.layers[1].deterministic is False
    assert all(type(layer) is nnx.Linear for layer in (a, b))
    with pytest.raises(InputError, match=r"unknown layer 'layers\.3'"):
        bound.fetch(network, X, layer="layers.3")


def test_an_equinox_module_with_state_is_refused_in_words(X):
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        norm = eqx.nn.BatchNorm(N1, axis_name="batch", mode="ema")
    layers = [eqx.nn.Linear(N0, N1, key=jax.random.key(1)), norm, eqx.nn.Linear(N1, D, key=jax.random.key(2))]
    for model in (eqx.nn.Sequential(layers), layers[1]):
        with pytest.raises(InputError, match=r"without state, got one with BatchNorm.*pass \(trunk, readout\)"):
            bound.fetch(model, X)


@pytest.mark.parametrize("eps", [2.0**-7, 2.0**-10, 2.0**-23])
@pytest.mark.parametrize("spread", [0.03, 0.3, 3.0])
def test_what_stands_after_the_last_layer_is_seen_in_any_precision(rng, eps, spread):
    """Rounded to so many bits; a softmax of small logits is nearly affine in them."""

    def rounded(values):
        unit = 2.0 ** np.floor(np.log2(np.abs(values) + 1e-300)) * eps
        return np.round(values / unit) * unit

    features = rng.normal(size=(300, 12))
    output = rounded(spread * features @ rng.normal(size=(12, 4)) / np.sqrt(12))
    ends = {"softmax": softmax(output, axis=1), "log": np.log(softmax(output, axis=1)), "sigmoid": expit(output)}
    settings = {"bias": True, "eps": eps, "name": "'last'", "remedy": "leave it out"}
    for after in ends.values():
        with pytest.raises(InputError, match="something after it"):
            linear_readout(features, output, rounded(after), **settings)
    for after in (output, 3.0 * output, -0.5 * output + 0.1):
        found = linear_readout(features, output, rounded(after), **settings)
        assert found.predictions.shape == (300, 4)


def test_a_linen_module_needs_its_variables(weights, X):
    module, variables = linen_network(weights)
    found = bound.fetch(module.bind(variables), X, layer="Dense_2")
    np.testing.assert_allclose(found.features, by_hand(weights, X)[0], atol=3e-6)
    for model, options, words in ((module, {}, r"pass \(module, variables\)"),
                                  ((module, variables), {"layer": "Dense_3"}, "did you mean 'Dense_"),
                                  ((module, variables), {"layer": "Dense_0"}, "something after it")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            bound.fetch(model, X, **options)
    with pytest.raises(InputError, match="expected inputs that the module takes"):
        bound.fetch((module, variables), X[:, :3])


def test_a_classifier_answers_with_its_logits(X):
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    model = make_pipeline(StandardScaler(), MLPClassifier((7,), max_iter=40, random_state=0))
    with pytest.raises(InputError, match="call fit"):
        bound.fetch(model, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(3 * X + 1, y)
    found = bound.fetch(model, 3 * X + 1)
    z = np.exp(found.predictions - found.predictions.max(axis=1, keepdims=True))
    np.testing.assert_allclose(z / z.sum(axis=1, keepdims=True), model.predict_proba(3 * X + 1), atol=1e-12)
    assert found.features.shape == (P, 7)
    with pytest.raises(InputError, match="layer: expected none"):
        bound.fetch(model, X, layer="x")
    with pytest.raises(InputError, match="expected what Pipeline was fitted on"):
        bound.fetch(model, X[:, :2])


def test_other_estimators_and_losses_are_refused(X):
    from sklearn.linear_model import Ridge
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline

    for model in (Ridge().fit(X, X[:, 0]), make_pipeline(Ridge()).fit(X, X[:, 0])):
        with pytest.raises(InputError, match="expected MLPRegressor, MLPClassifier or a Pipeline"):
            bound.fetch(model, X)
    network = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(X, X[:, 0])
    network.out_activation_ = "exp"  # loss="poisson"
    with pytest.raises(InputError, match="quadratic loss"):
        bound.fetch(network, X)


def test_functions(X):
    W = np.arange(1.0, N0 + 1)
    found = bound.fetch((np.tanh, lambda h: h @ W), X)
    assert found.constant is False
    np.testing.assert_array_equal(found.features, np.tanh(X))
    assert bound.fetch((np.tanh, lambda h: h @ W - 1e-3), X).constant is True
    for readout in (lambda h: np.tanh(h @ W), lambda h: (h @ W) ** 2, lambda h: np.abs(h @ W)):
        with pytest.raises(InputError, match="readout: expected a linear function"):
            bound.fetch((np.tanh, readout), X)
    with pytest.raises(InputError, match="finite"):
        bound.fetch((lambda X: np.full_like(X, np.inf), lambda h: h[:, 0]), X)
    with pytest.raises(InputError, match="layer: expected none"):
        bound.fetch((np.tanh, lambda h: h @ W), X, layer="2")


@pytest.mark.parametrize("model", [None, 3, np.tanh, (np.tanh,), (np.tanh, 3), dict])
def test_an_unknown_model_is_told_what_there_is(model, X):
    with pytest.raises(InputError, match=r"torch.nn.Module.*nnx.*MLPRegressor.*trunk\(X\) -> features") as refused:
        bound.fetch(model, X)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -3}, {"batch_size": True}])
def test_bad_batches(options, X):
    with pytest.raises(InputError, match="batch_size"):
        bound.fetch((np.tanh, np.sum), X, **options)


@pytest.mark.parametrize("X", [3, [[1.0]], np.zeros((0, 3)), np.float64(2)])
def test_bad_inputs(X):
    with pytest.raises(InputError, match="X: expected"):
        bound.fetch((np.tanh, np.sum), X)


def test_no_framework_is_imported_that_is_not_there():
    code = (
        "import sys, numpy as np\nfrom widthwise import bound\nX = np.ones((4, 2))\n"
        "bound.fetch((np.tanh, lambda h: h.sum(1)), X)\n"
        "try: bound.fetch(object(), X)\nexcept ValueError: pass\n"
        "print([name for name in ('torch', 'jax', 'equinox', 'flax', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
