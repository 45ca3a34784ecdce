"""Models to fold that fork, join or have an output midway: what is left, and what is decided."""

from __future__ import annotations

from tests.folding.chains import X

# model; what it becomes; the decisions
BRANCHES = {
    "fork, all readers take it": (
        f"{X} -> Sigmoid -> BN -> a; a -> Flatten -> Dense -> b!; a -> Conv -> c!",
        "Sigmoid -> Reshape -> Dense; Conv",
        "bn folded forward into dense conv across flatten",
    ),
    "fork, one reader refuses": (
        "x[4] -> Sigmoid -> BN -> a; a -> Dense -> b!; a -> Sigmoid -> c!",
        "Sigmoid -> BN -> Dense; Sigmoid",
        "bn lowered",
    ),
    "fork before, one reader goes elsewhere": (
        "x[4] -> Dense -> a; a -> BN -> Sigmoid -> b!; a -> Sigmoid -> c!",
        "Dense -> BN -> Sigmoid; Sigmoid",
        "bn lowered",
    ),
    "fork before, forward after": (
        "x[4] -> Dense -> a; a -> BN -> Dense -> b!; a -> Sigmoid -> c!",
        "Dense -> Dense; Sigmoid",
        "bn folded forward into dense_1",
    ),
    "its input is a model output": (
        "x[4] -> Dense -> a!; a -> BN -> Sigmoid -> b!",
        "Dense -> BN -> Sigmoid",
        "bn lowered",
    ),
    "it is a model output after a ReLU": (
        "x[4] -> Dense -> ReLU -> BN -> a!; a -> Dense -> b!",
        "Dense -> ReLU -> BN -> Dense",
        "bn lowered",
    ),
    "it is a model output and folds backward": (
        "x[4] -> Dense -> BN -> a!; a -> Dense -> b!",
        "Dense -> Identity -> Dense",
        "bn folded backward into dense",
    ),
    "a tensor further on is a model output": (
        "x[4] -> Sigmoid -> BN(scale) -> ReLU -> a!; a -> Dense -> b!",
        "Sigmoid -> BN -> ReLU -> Dense",
        "bn lowered",
    ),
    "a tensor further back is a model output": (
        "x[4] -> Dense -> a!; a -> ReLU -> BN(scale) -> Sigmoid -> b!",
        "Dense -> ReLU -> BN -> Sigmoid",
        "bn lowered",
    ),
    "residual Add, backward": (
        f"{X} -> Conv(same) -> a; {X} -> Conv(same 1x1) -> b; a, b -> Add -> BN -> Sigmoid",
        "Conv; Conv; Add -> Sigmoid",
        "bn folded backward into conv_1 conv across add",
    ),
    "residual Add from the input": (
        "x[4x4] -> Conv(1x1) -> a; a, x -> Add -> BN -> Sigmoid",
        "Conv; Add -> DepthwiseConv -> Sigmoid",
        "bn lowered",
    ),
    "a shift moves into one side of an Add": (
        "x[4x4] -> Conv(1x1) -> a; a, x -> Add -> BN(shift) -> Sigmoid",
        "Conv; Add -> Sigmoid",
        "bn folded backward into conv across add",
    ),
    "residual Add, forward with one scale": (
        "x[4] -> Sigmoid -> BN -> a; a -> ReLU -> Sigmoid -> b; a, b -> Add -> Dense",
        "Sigmoid -> BN -> ReLU -> Sigmoid; Add -> Dense",
        "bn lowered",
    ),
    "a shift goes on through an Add": (
        "x[4] -> Sigmoid -> BN(shift) -> a; y[4] -> ReLU -> b; a, b -> Add -> Dense",
        "Sigmoid; ReLU; Add -> Dense",
        "bn folded forward into dense across add",
    ),
    "diamond, forward": (
        "x[4] -> Sigmoid -> BN(scale) -> a; a -> ReLU -> b; a, b -> Add -> Dense",
        "Sigmoid -> ReLU; Add -> Dense",
        "bn folded forward into dense across relu add",
    ),
    "diamond, backward": (
        "x[4] -> Dense -> a; a -> ReLU -> b; a -> Identity -> c; b, c -> Add -> BN(scale) -> ReLU",
        "Dense -> ReLU; Identity; Add -> ReLU",
        "bn folded backward into dense across add identity relu",
    ),
    "diamond, branches of different maps": (
        "x[4] -> Dense -> a; a -> Identity -> b; a -> Identity -> c; b, c -> Add -> BN -> ReLU",
        "Dense -> Identity; Identity; Add -> BN -> ReLU",
        "bn lowered",
    ),
    "doubled": (
        "x[4] -> Sigmoid -> BN -> a; a, a -> Add -> Dense",
        "Sigmoid; Add -> Dense",
        "bn folded forward into dense across add",
    ),
    "Concat, backward": (
        f"{X} -> Conv -> a; {X} -> Conv -> b; a, b -> Concat -> BN(negative) -> Sigmoid",
        "Conv; Conv; Concat -> Sigmoid",
        "bn folded backward into conv_1 conv across concat",
    ),
    "Concat, backward, one part refuses": (
        f"{X} -> Conv -> a; {X} -> Conv -> Sigmoid -> b; a, b -> Concat -> BN -> Sigmoid",
        "Conv; Conv -> Sigmoid; Concat -> DepthwiseConv -> Sigmoid",
        "bn lowered",
    ),
    "Concat, forward": (
        "x[4] -> Sigmoid -> BN(negative) -> a; y[3] -> ReLU -> b; b, a -> Concat -> Dense",
        "Sigmoid; ReLU; Concat -> Dense",
        "bn folded forward into dense across concat",
    ),
    "one merges back into one that stays": (
        "x[4] -> Sigmoid -> BN -> a; a -> ReLU -> BN(scale) -> Sigmoid",
        "Sigmoid -> BN -> ReLU -> Sigmoid",
        "bn lowered; bn_1 merged backward into bn across relu",
    ),
    "identity that is a model output": (
        "x[4] -> Sigmoid -> BN(identity) -> a!; a -> Sigmoid -> b!",
        "Sigmoid -> Identity -> Sigmoid",
        "bn folded",
    ),
    "a shape is read before it": (
        "x[4] -> Dense -> a; a -> ShapeOf -> s!; a -> BN -> Sigmoid -> b!",
        "Dense -> ShapeOf; Sigmoid",
        "bn folded backward into dense",
    ),
    "one half of a split": (
        "x[4] -> Split; split:0 -> BN -> Sigmoid -> a!; split:1 -> Sigmoid -> b!",
        "Split -> BN -> Sigmoid; Sigmoid",
        "bn lowered",
    ),
    "a fork whose other branch takes the inverse": (
        "x[4] -> Dense -> a; a -> BN(negative) -> Sigmoid -> b!; a -> Dense -> c!",
        "Dense -> Sigmoid; Dense",
        "bn folded backward into dense dense_1",
    ),
    "a fork that cannot divide by zero": (
        "x[4] -> Dense -> a; a -> BN(dead) -> Sigmoid -> b!; a -> Dense -> c!",
        "Dense -> BN -> Sigmoid; Dense",
        "bn lowered",
    ),
    "a fork whose one branch is all zeros": (
        "x[4] -> Dense -> a; a -> BN(none) -> Sigmoid -> b!; a -> Dense -> c!",
        "Dense -> BN -> Sigmoid; Dense",
        "bn lowered",
    ),
    "a fork whose one branch is nothing to float32": (
        "x[4] -> Dense -> a; a -> BN(tiny) -> Sigmoid -> b!; a -> Dense -> c!",
        "Dense -> BN -> Sigmoid; Dense",
        "bn lowered",
    ),
    "a fork that would lose digits to a steep scale": (
        "x[4] -> Dense -> a; a -> BN(steep) -> Sigmoid -> b!; a -> Dense -> c!",
        "Dense -> BN -> Sigmoid; Dense",
        "bn lowered",
    ),
    "a fork that would lose digits to a far shift": (
        "x[4] -> Dense -> a; a -> BN(far) -> Sigmoid -> b!; a -> Dense -> c!",
        "Dense -> BN -> Sigmoid; Dense",
        "bn lowered",
    ),
    "a fork whose branches meet before it": (
        "x[4] -> Dense(4) -> a; a -> Dense(4) -> b; a, b -> Add -> BN -> Sigmoid",
        "Dense -> Dense; Add -> Sigmoid",
        "bn folded backward into dense_1 dense across add",
    ),
    "a fork whose inverse meets its own map": (
        "x[4] -> Dense(4) -> a; a -> ReLU -> r; a, r -> Multiply -> BN(scale) -> Sigmoid",
        "Dense -> ReLU; Multiply -> BN -> Sigmoid",
        "bn lowered",
    ),
    "a scale goes into the first factor": (
        "x[4] -> Dense -> a; x -> Dense -> Sigmoid -> b; a, b -> Multiply -> BN(scale) -> Sigmoid",
        "Dense; Dense -> Sigmoid; Multiply -> Sigmoid",
        "bn folded backward into dense across multiply",
    ),
    "a scale goes into the second factor where the first takes none": (
        "x[4] -> Dense -> Sigmoid -> a; x -> Dense -> b; a, b -> Multiply -> BN(scale) -> Sigmoid",
        "Dense -> Sigmoid; Dense; Multiply -> Sigmoid",
        "bn folded backward into dense_1 across multiply",
    ),
    "a shift stays before a product": (
        "x[4] -> Dense -> a; x -> Dense -> b; a, b -> Multiply -> BN(shift) -> Sigmoid",
        "Dense; Dense; Multiply -> BN -> Sigmoid",
        "bn lowered",
    ),
    "both sides of a difference": (
        "x[4] -> Dense -> a; x -> Dense -> b; a, b -> Subtract -> BN -> Sigmoid",
        "Dense; Dense; Subtract -> Sigmoid",
        "bn folded backward into dense_1 dense across subtract",
    ),
    "both sides of a maximum": (
        "x[4] -> Dense -> a; x -> Dense -> b; a, b -> Maximum -> BN -> Sigmoid",
        "Dense; Dense; Maximum -> Sigmoid",
        "bn folded backward into dense_1 dense across maximum",
    ),
}
