"""What to do about torch modules and functions that have no layer, by name."""

from __future__ import annotations

RECURRENT = "recurrent layers are not supported; unroll the steps into Linear layers"
ATTENTION = (
    "attention multiplies computed results, which no layer does; use Linear, Conv or pooling layers"
)
NORMS = "divides by a computed deviation; train with BatchNorm, which has running statistics"
CURVES = (
    "this activation is not supported; use ReLU, LeakyReLU, Hardtanh, Sigmoid, Tanh, Softplus, "
    "GELU, SiLU or another that docs/layers.md lists"
)
JUMPS = "jumps, which no layer does; use relu, clamp or maximum"
CHOICES = (
    "picks elements by their values; end the model in front of it and ask for classes by "
    "mipnet's questions, or use a maximum"
)
RANDOM = "draws random numbers; take it out of the forward of evaluation"
LOSSES = "is a loss, not a layer; end the model in front of it"
PADS = "pads with copies of elements; use ZeroPad or ConstantPad"
SHUFFLES = "is not supported; write it with reshape and permute"
UPSAMPLES = "is not supported; repeat elements by expand and reshape"
TRANSPOSED = "is not supported; use upsampling by expand and reshape, and a convolution"
LOOKUPS = "looks up by whole numbers; give the network the looked-up vector as its input"
DISTANCES = "multiplies or divides computed results; use Linear layers and abs"
WINDOWS = "is not supported; use a convolution, MaxPool or AvgPool"
POWERS = "is no piecewise-linear function of its input; use an activation that docs/layers.md lists"

#: By the name of a class.
REMEDIES: dict[str, str] = {}
#: By the name of a function or method.
FUNCTIONS: dict[str, str] = {}

for _remedy, _names in {
    RECURRENT: "RNN LSTM GRU RNNCell LSTMCell GRUCell RNNBase RNNCellBase",
    ATTENTION: (
        "MultiheadAttention Transformer TransformerEncoder TransformerDecoder "
        "TransformerEncoderLayer TransformerDecoderLayer"
    ),
    NORMS: (
        "LayerNorm GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d RMSNorm "
        "LocalResponseNorm CrossMapLRN2d"
    ),
    CURVES: "ELU SELU CELU Mish Softsign Tanhshrink GLU RReLU Softmin",
    JUMPS: "Hardshrink Softshrink",
    LOOKUPS: "Embedding EmbeddingBag",
    DISTANCES: "Bilinear CosineSimilarity PairwiseDistance",
    WINDOWS: (
        "LPPool1d LPPool2d LPPool3d FractionalMaxPool2d FractionalMaxPool3d MaxUnpool1d "
        "MaxUnpool2d MaxUnpool3d Fold Unfold"
    ),
    PADS: " ".join(f"{k}Pad{n}d" for k in ("Reflection", "Replication", "Circular") for n in "123"),
    SHUFFLES: "PixelShuffle PixelUnshuffle ChannelShuffle",
    UPSAMPLES: "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    TRANSPOSED: "ConvTranspose1d ConvTranspose2d ConvTranspose3d",
}.items():
    REMEDIES |= dict.fromkeys(_names.split(), _remedy)

for _remedy, _names in {
    ATTENTION: "scaled_dot_product_attention multi_head_attention_forward baddbmm",
    "multiplies computed results or is not read; write a product with a constant as matmul": (
        "einsum tensordot outer inner dot"
    ),
    NORMS: (
        "layer_norm group_norm instance_norm rms_norm local_response_norm normalize norm std var"
    ),
    CURVES: "elu selu celu mish softsign tanhshrink glu rrelu softmin elu_ logaddexp logsumexp",
    JUMPS: (
        "hardshrink softshrink sign heaviside round floor ceil trunc frac where masked_fill gt lt "
        "ge le eq ne greater less logical_and logical_or logical_not"
    ),
    CHOICES: "argmax argmin topk sort argsort kthvalue median mode max_indices nonzero unique",
    RANDOM: "rand_like randn_like bernoulli normal_ uniform_ gumbel_softmax multinomial",
    LOSSES: "cross_entropy mse_loss nll_loss l1_loss smooth_l1_loss binary_cross_entropy",
    UPSAMPLES: "interpolate upsample grid_sample",
    TRANSPOSED: "conv_transpose1d conv_transpose2d conv_transpose3d",
    SHUFFLES: "pixel_shuffle pixel_unshuffle channel_shuffle roll rot90",
    LOOKUPS: "embedding embedding_bag gather scatter take index_add index_copy",
    DISTANCES: "cosine_similarity pairwise_distance cdist bilinear prod cumprod",
    WINDOWS: "lp_pool1d lp_pool2d unfold fold",
    "adds up along an axis; multiply with a triangular matrix": "cumsum",
    POWERS: (
        "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan sinh "
        "cosh asinh acosh atanh atan2 hypot erfc lgamma sinc"
    ),
}.items():
    FUNCTIONS |= dict.fromkeys(_names.split(), _remedy)

_OTHERS = {"GLU", "glu", "logaddexp", "logsumexp", "atan2", "hypot", "norm", "std", "var"}
#: Classes and functions whose result has the shape of their input.
KEEPING = frozenset(
    kind
    for kind, remedy in (*REMEDIES.items(), *FUNCTIONS.items())
    if remedy in (NORMS, CURVES, POWERS) and kind not in _OTHERS
)


def remedy_of(kind: str, module: object | None) -> str | None:
    """Return what to do about a class (given a ``module``) or a function; None when not known."""
    if module is None:
        return FUNCTIONS.get(kind.removesuffix("_"))
    losses = kind.endswith("Loss") and type(module).__module__.startswith("torch.nn")
    return LOSSES if losses else REMEDIES.get(kind)
