"""Models whose first affine layer does not fold, each with words of the reason given."""

from __future__ import annotations

from tests.folding.chains import X

# model; words of the reason of its first affine layer
REASONS = {
    "padding": (
        f"{X} -> Conv -> ReLU -> BN -> Conv(same)",
        "'conv_1' (Conv), the convolution pads",
    ),
    "both ways": (
        f"{X} -> Conv -> ReLU -> BN -> Conv(same)",
        "backward: at 'relu' (ReLU), ReLU lets",
    ),
    "unknown size": (f"{X} -> BN -> Conv(same unknown)", "its size is not known"),
    "model input": (f"{X} -> BN -> Conv(same)", "backward: no layer stands before it"),
    "negative": (f"{X} -> Sigmoid -> BN(negative) -> MaxPool", "the least is -1.5"),
    "other reader": (
        "x[4] -> Dense -> a; a -> BN -> Sigmoid -> b!; a -> Sigmoid -> c!",
        "the output of 'dense' (Dense) is read by 'sigmoid_1' (Sigmoid) as well",
    ),
    "model output": (
        "x[4] -> Sigmoid -> BN -> a!",
        "forward: an output of the model comes next",
    ),
    "output further on": (
        "x[4] -> Sigmoid -> BN(scale) -> ReLU -> a!",
        "forward: an output of the model comes next",
    ),
    "input is an output": (
        "x[4] -> Dense -> a!; a -> BN -> Sigmoid -> b!",
        "backward: the output of 'dense' (Dense) is also an output of the model",
    ),
    "branches": (
        "x[4] -> Dense -> a; a, a -> Add -> BN -> Sigmoid",
        "backward: the branches that meet there want different maps",
    ),
    "wall": (
        "x[4] -> Split; split:1 -> BN -> Sigmoid",
        "backward: no affine map can move back past 'split' (Split); forward: at 'sigmoid'",
    ),
    "merged": ("x[4] -> Sigmoid -> BN -> BN -> Dense", "it became part of 'bn_1'"),
}
