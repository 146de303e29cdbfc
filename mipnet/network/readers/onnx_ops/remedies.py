"""What to do about ONNX operations that are not read, by name."""

from __future__ import annotations

CURVES = (
    "activation is not supported; use Relu, LeakyRelu, Clip, Sigmoid, Tanh, Softplus, Gelu, "
    "HardSwish or another that docs/layers.md lists"
)

NORMS = "divides by a computed deviation; train with BatchNormalization"

REMEDIES: dict[str, str] = {}
for _remedy, _names in {
    "recurrent layers are not supported; unroll the steps into Gemm nodes": "RNN LSTM GRU",
    "control flow is not supported; export a traced model, or fold constants (onnxsim)": (
        "If Loop Scan SequenceMap"
    ),
    (
        "attention multiplies computed results, which no layer does; use Gemm, Conv or pooling "
        "nodes"
    ): "Attention MultiHeadAttention LinearAttention RotaryEmbedding Einsum",
    NORMS: (
        "LayerNormalization InstanceNormalization GroupNormalization LpNormalization "
        "RMSNormalization MeanVarianceNormalization LRN SimplifiedLayerNormalization"
    ),
    CURVES: (
        "Elu Selu Celu Mish Softsign Exp Log Sin Cos Tan Sqrt Reciprocal Asin Acos Atan Sinh Cosh "
        "Asinh Acosh Atanh"
    ),
    "jumps, which no layer does; use Relu, Clip, Max or Min": (
        "Sign Round Floor Ceil Shrink ThresholdedRelu Where Equal Greater Less GreaterOrEqual "
        "LessOrEqual And Or Not Xor Hardmax IsNaN IsInf Mod"
    ),
    "picks elements by their values; the network ends in front of it: load with output= naming "
    "what it reads": "ArgMax ArgMin TopK NonZero Unique OneHot NonMaxSuppression Compress",
    "quantised arithmetic rounds, which no layer does; export the model before quantisation": (
        "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul "
        "MatMulInteger ConvInteger"
    ),
    "draws random numbers; export the model for inference": (
        "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial"
    ),
    "is a loss; load with output= naming what it reads": (
        "SoftmaxCrossEntropyLoss NegativeLogLikelihoodLoss"
    ),
    "is not supported; use upsampling by Expand and Reshape, and a Conv": "ConvTranspose",
    "is not supported; repeat elements by Expand and Reshape": "Resize Upsample",
    "is not supported; write it with Reshape and Transpose": "DepthToSpace SpaceToDepth Col2Im",
    "is not supported; use MaxPool, AveragePool or Conv": (
        "LpPool GlobalLpPool MaxUnpool MaxRoiPool RoiAlign DeformConv"
    ),
    "is no linear reduction; use ReduceSum, ReduceMean, ReduceMax or ReduceMin": (
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceProd ReduceSumSquare CumProd"
    ),
    "adds up along an axis; multiply with a triangular matrix": "CumSum",
    "selects by computed places; use Gather or Slice with constants": (
        "GatherElements GatherND Scatter ScatterElements ScatterND TensorScatter ReverseSequence"
    ),
    "is read for constants only; make what it reads a constant": "Range ConstantOfShape",
}.items():
    REMEDIES |= dict.fromkeys(_names.split(), _remedy)

#: Operations whose first result has the shape of their first input.
KEEPING = frozenset(kind for kind, remedy in REMEDIES.items() if remedy in (CURVES, NORMS))
