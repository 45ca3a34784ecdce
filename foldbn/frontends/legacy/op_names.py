"""The TensorFlow functions and raw ops that a model's configuration may name.

A configuration of Keras 2 names single calls: ``math.multiply`` in a TFOpLambda layer, ``Mul`` in a
TensorFlowOpLayer. Looked up without a list, such a name could be ``io.write_file``. What stands
here computes its outputs from its inputs and nothing else: no file, no process, no Python
function, no random number. A name that is not here is never looked up.
"""

from __future__ import annotations

from foldbn.errors import Unsupported


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# At the top of `tf` and in `tf.math`: TensorFlow exports most of them under both names.
_MATH = _names(
    "abs acos acosh add add_n argmax argmin asin asinh atan atan2 atanh ceil cos cosh"
    " count_nonzero cumprod cumsum divide divide_no_nan equal erf erfc exp expm1 floor floordiv"
    " floormod greater greater_equal is_finite is_inf is_nan l2_normalize less less_equal log log1p"
    " log_sigmoid log_softmax logical_and logical_not logical_or logical_xor maximum minimum mod"
    " multiply multiply_no_nan negative not_equal polyval pow reciprocal reciprocal_no_nan"
    " reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean"
    " reduce_min reduce_prod reduce_std reduce_sum reduce_variance rint round rsqrt scalar_mul"
    " sigmoid sign sin sinh softmax softplus softsign sqrt square squared_difference subtract tan"
    " tanh top_k truediv xdivy xlog1py xlogy"
)
_ARRAYS = _names(
    "argsort batch_to_space boolean_mask broadcast_to cast clip_by_value concat constant"
    " convert_to_tensor einsum ensure_shape expand_dims eye fill gather gather_nd identity linspace"
    " matmul meshgrid norm one_hot ones ones_like pad range rank realdiv repeat reshape reverse"
    " reverse_sequence roll searchsorted sequence_mask shape size slice sort space_to_batch"
    " space_to_batch_nd split squeeze stack stop_gradient strided_slice tensordot tile transpose"
    " truncatediv truncatemod unstack where zeros zeros_like"
)
_NN = _names(
    "atrous_conv2d avg_pool avg_pool1d avg_pool2d avg_pool3d batch_normalization bias_add conv1d"
    " conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose convolution crelu"
    " depth_to_space depthwise_conv2d elu embedding_lookup gelu l2_loss l2_normalize leaky_relu"
    " local_response_normalization log_softmax lrn max_pool max_pool1d max_pool2d max_pool3d"
    " moments pool relu relu6 selu separable_conv2d sigmoid silu softmax softplus softsign"
    " space_to_depth swish tanh top_k zero_fraction"
)
_LINALG = _names(
    "adjoint band_part cross det diag diag_part einsum eye inv l2_normalize matmul"
    " matrix_transpose matvec norm normalize set_diag tensor_diag tensor_diag_part tensordot trace"
)
_IMAGE = _names(
    "adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation central_crop"
    " convert_image_dtype crop_and_resize crop_to_bounding_box extract_patches flip_left_right"
    " flip_up_down grayscale_to_rgb hsv_to_rgb pad_to_bounding_box per_image_standardization resize"
    " resize_bilinear resize_image_with_crop_or_pad resize_images resize_nearest_neighbor"
    " resize_with_crop_or_pad resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq rgb_to_yuv"
    " rot90 transpose yiq_to_rgb yuv_to_rgb"
)
_SIGNAL = _names("dct fft fft2d frame idct ifft ifft2d irfft overlap_and_add rfft rfft2d")
_SPACES = {
    "": _MATH | _ARRAYS,
    "math": _MATH,
    "nn": _NN,
    "linalg": _LINALG,
    "image": _IMAGE,
    "signal": _SIGNAL,
    "__operators__": _names("add eq getitem ne radd"),
    # Of Keras's own functions those that carry the same arguments in Keras 3, or that are written
    # anew in `op_layers`.
    "keras.activations": _names(
        "elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu"
        " sigmoid silu softmax softplus softsign swish tanh"
    ),
    "keras.ops": _names(
        "abs add all any arccos arcsin arctan argmax argmin average cast ceil clip concatenate cos"
        " cosh cumsum divide dot einsum elu equal erf exp expand_dims expm1 flip floor gelu"
        " greater greater_equal hard_sigmoid hard_silu isfinite isnan leaky_relu less less_equal"
        " log log1p log_sigmoid log_softmax logical_and logical_not logical_or logsumexp matmul"
        " max maximum mean min minimum mod moveaxis multiply negative norm normalize not_equal"
        " one_hot ones_like pad power prod reciprocal relu relu6 repeat reshape roll round rsqrt"
        " selu shape sigmoid sign silu sin sinh softmax softplus softsign split sqrt square squeeze"
        " stack std subtract sum swapaxes take tan tanh tensordot tile transpose true_divide"
        " unstack var where zeros_like"
    ),
    "keras.backend": _names(
        "abs all any argmax argmin cast concatenate cos equal exp expand_dims greater"
        " greater_equal less less_equal log max maximum mean min minimum not_equal"
        " permute_dimensions pow prod reshape round sigmoid sign sin softmax softplus softsign"
        " square squeeze stack stop_gradient sum tanh transpose"
    ),
}
_V1 = "compat.v1."

RAW_OPS = _names(
    "Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool"
    " AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd BroadcastTo Cast"
    " Ceil ClipByValue Concat ConcatV2 Conv2D Conv3D Cos Cosh Cross Cumprod Cumsum DepthToSpace"
    " DepthwiseConv2dNative Div DivNoNan Einsum Elu Equal Erf Erfc Exp ExpandDims Expm1 Fill Floor"
    " FloorDiv FloorMod Gather GatherNd GatherV2 Greater GreaterEqual Identity IsFinite IsInf IsNan"
    " L2Loss LRN LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr"
    " MatMul MatrixBandPart MatrixDiag MatrixDiagPart Max MaxPool MaxPool3D Maximum Mean Min"
    " Minimum MirrorPad Mul MulNoNan Neg NotEqual OneHot OnesLike Pack Pad PadV2 Pow Prod Range"
    " Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeBicubic ResizeBilinear ResizeNearestNeighbor"
    " ReverseV2 Rint Roll Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Sin Sinh Size Slice"
    " Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square"
    " SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose"
    " TruncateDiv Unpack Xdivy Xlogy ZerosLike"
)


def check_function(name: object) -> str:
    """Return the name of a public function, without ``compat.v1.``, if it is on the list.

    Raises:
        Unsupported: it is not.
    """
    plain = str(name).removeprefix(_V1)
    space, _, last = plain.rpartition(".")
    if last not in _SPACES.get(space, ()):
        raise _unlisted(f"the TensorFlow function {str(name)!r}")
    return plain


def check_raw_op(name: object) -> str:
    """Return the name of a raw op if it is on the list.

    Raises:
        Unsupported: it is not.
    """
    if name not in RAW_OPS:
        raise _unlisted(f"the TensorFlow op {str(name)!r}")
    return str(name)


def listed_function(name: str, module: str) -> str | None:
    """Return the listed name of a function that a file names together with its module.

    Keras files a function of the user's own under ``builtins``. Among these it finds its own
    activations by their bare names, and so does this.

    Args:
        name: of the function alone, like ``relu``.
        module: where it was defined, like ``keras.ops`` or ``tensorflow.python.ops.nn_ops``.

    Returns:
        A name that `check_function` takes, or None if there is none.
    """
    parts = module.split(".")
    if "ops" in parts and parts[0] == "keras":
        spaces = ["keras.ops"]
    elif "backend" in parts:
        spaces = ["keras.backend"]
    elif parts[0] == "builtins" or "keras" in parts:
        spaces = ["keras.activations"]
    elif parts[0] == "tensorflow":
        spaces = ["", "math", "nn", "linalg", "image", "signal"]
    else:
        return None
    if name == "hard_sigmoid" and spaces != ["keras.ops"]:
        return None  # it has two formulas, and a name does not say which
    found = (f"{space}.{name}".lstrip(".") for space in spaces if name in _SPACES[space])
    return next(found, None)


def functions() -> list[str]:
    """Return the name of every function on the list."""
    return [f"{space}.{name}".lstrip(".") for space, names in _SPACES.items() for name in names]


def _unlisted(what: str) -> Unsupported:
    return Unsupported(
        f"the model calls {what}, which is not on foldbn's list of functions that compute"
        " from their inputs alone",
        "rebuild the model without it, or give foldbn a SavedModel of it",
    )
