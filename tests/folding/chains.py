"""Models to fold that are one chain of layers: what is left of each, and what is decided."""

from __future__ import annotations

X = "x[5x4x3]"

# model; what it becomes; the decisions
CHAINS = {
    "backward into Dense": (
        "x[4] -> Dense -> BN -> ReLU -> Dense",
        "Dense -> ReLU -> Dense",
        "bn folded backward into dense",
    ),
    "backward into a padded Conv": (
        f"{X} -> Conv(same) -> BN(negative) -> ReLU",
        "Conv -> ReLU",
        "bn folded backward into conv",
    ),
    "backward across a scale-only ReLU": (
        f"{X} -> Conv(nobias) -> ReLU -> BN(scale) -> Sigmoid",
        "Conv -> ReLU -> Sigmoid",
        "bn folded backward into conv across relu",
    ),
    "forward": (
        "x[4] -> Dense -> ReLU -> BN(negative) -> Dense",
        "Dense -> ReLU -> Dense",
        "bn folded forward into dense_1",
    ),
    "forward across ReLU": (
        "x[4] -> BN(scale) -> ReLU -> Dense",
        "ReLU -> Dense",
        "bn folded forward into dense across relu",
    ),
    "forward through Flatten": (
        f"{X} -> Conv -> ReLU -> BN -> Flatten -> Dense",
        "Conv -> ReLU -> Reshape -> Dense",
        "bn folded forward into dense across flatten",
    ),
    "backward through Flatten": (
        f"{X} -> Conv -> BN -> Flatten -> Dense",
        "Conv -> Reshape -> Dense",
        "bn folded backward into conv",
    ),
    "per element, back through Flatten": (
        f"{X} -> Conv(same) -> Flatten -> BN -> Sigmoid",
        "Conv -> Reshape -> BN -> Sigmoid",
        "bn lowered",
    ),
    "MaxPool with positive scales": (
        f"{X} -> Conv -> ReLU -> BN -> MaxPool -> Flatten -> Dense",
        "Conv -> ReLU -> MaxPool -> Reshape -> Dense",
        "bn folded forward into dense across maxpool flatten",
    ),
    "MaxPool with a negative scale": (
        f"{X} -> Conv -> ReLU -> BN(negative) -> MaxPool -> Flatten -> Dense",
        "Conv -> ReLU -> DepthwiseConv -> MaxPool -> Reshape -> Dense",
        "bn lowered",
    ),
    "AveragePool with a negative scale": (
        f"{X} -> Conv -> AveragePool -> BN(negative) -> Sigmoid",
        "Conv -> AveragePool -> Sigmoid",
        "bn folded backward into conv across averagepool",
    ),
    "global pools": (
        f"{X} -> Conv -> GlobalMax -> BN -> ReLU -> BN -> Dense",
        "Conv -> GlobalMaxPooling -> ReLU -> Dense",
        "bn folded backward into conv across globalmax; bn_1 folded forward into dense",
    ),
    "padded Conv after ReLU": (
        f"{X} -> Conv -> ReLU -> BN -> Conv(same)",
        "Conv -> ReLU -> DepthwiseConv -> Conv",
        "bn lowered",
    ),
    "padded 1x1 Conv after ReLU": (
        f"{X} -> Conv -> ReLU -> BN -> Conv(same 1x1)",
        "Conv -> ReLU -> Conv",
        "bn folded forward into conv_1",
    ),
    "scale alone into a padded Conv": (
        f"{X} -> Sigmoid -> BN(scale) -> ZeroPad -> Conv(same)",
        "Sigmoid -> zero padding -> Conv",
        "bn folded forward into conv across zeropad",
    ),
    "ReLU before and a wall after": (
        f"{X} -> Conv -> ReLU -> BN -> Sigmoid",
        "Conv -> ReLU -> DepthwiseConv -> Sigmoid",
        "bn lowered",
    ),
    "Dense of another axis": (
        "x[4x3] -> Dense -> BN(first) -> Sigmoid",
        "Dense -> BN -> Sigmoid",
        "bn kept",
    ),
    "channels first": (
        "x[2x4x5] -> Conv(first) -> BN(first) -> Transpose(1 2 0) -> ReLU -> BN -> Dense",
        "Conv -> Transpose -> ReLU -> Dense",
        "bn folded backward into conv; bn_1 folded forward into dense",
    ),
    "through Transpose": (
        "x[2x4x5] -> Conv(first) -> Transpose(1 2 0) -> BN -> Sigmoid",
        "Conv -> Transpose -> Sigmoid",
        "bn folded backward into conv across transpose",
    ),
    "Conv1D written as Conv2D": (
        "x[6x3] -> Expand(0) -> Conv(1x1) -> Squeeze(0) -> Bias -> BN -> Sigmoid",
        "ExpandDims -> Conv -> Squeeze -> Bias -> Sigmoid",
        "bn folded backward into conv across bias squeeze",
    ),
    "shift alone into a bias": (
        "x[4] -> Sigmoid -> Bias -> BN(shift) -> Sigmoid",
        "Sigmoid -> Bias -> Sigmoid",
        "bn folded backward into bias",
    ),
    "forward past a bias": (
        "x[4] -> Sigmoid -> BN -> Bias -> Dense",
        "Sigmoid -> Bias -> Dense",
        "bn folded forward into dense across bias",
    ),
    "two in a row": (
        "x[4] -> Sigmoid -> BN -> BN(negative) -> Dense",
        "Sigmoid -> Dense",
        "bn merged forward into bn_1; bn_1 folded forward into dense",
    ),
    "two between walls": (
        "x[4] -> Sigmoid -> BN -> BN(negative) -> Sigmoid",
        "Sigmoid -> BN -> Sigmoid",
        "bn merged forward into bn_1; bn_1 lowered",
    ),
    "at the model input": (
        "x[4x3] -> BN -> Dense",
        "Dense",
        "bn folded forward into dense",
    ),
    "at the model input before padding": (
        f"{X} -> BN -> Conv(same)",
        "DepthwiseConv -> Conv",
        "bn lowered",
    ),
    "gamma zero, backward": (
        "x[4] -> Dense -> BN(dead) -> Sigmoid",
        "Dense -> Sigmoid",
        "bn folded backward into dense",
    ),
    "gamma zero, forward": (
        "x[4] -> Sigmoid -> BN(dead scale) -> ReLU -> Dense",
        "Sigmoid -> ReLU -> Dense",
        "bn folded forward into dense across relu",
    ),
    "identity": (
        "x[4] -> Sigmoid -> BN(identity) -> Sigmoid",
        "Sigmoid -> Sigmoid",
        "bn folded",
    ),
    "nothing to fold": ("x[4] -> Dense -> ReLU", "Dense -> ReLU", ""),
}
