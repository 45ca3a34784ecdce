"""The repairs: each mends one way in which Keras 1 and 2 configured layers otherwise than Keras 3.

They run in the order of the table, on every layer of Keras's own. What no repair knows and what
is not neutral (`arguments`) is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foldbn.frontends.legacy import mends
from foldbn.frontends.legacy.old import OldLayer
from foldbn.frontends.legacy.writers import Writer

# At inference these hand on what they are given, whatever their arguments.
_TRAINING_ONLY = (
    *("ActivityRegularization", "AddLoss", "AddMetric", "AlphaDropout", "Dropout"),
    *("GaussianDropout", "GaussianNoise", "RandomBrightness", "RandomContrast", "RandomFlip"),
    *("RandomHeight", "RandomRotation", "RandomTranslation", "RandomWidth", "RandomZoom"),
    *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
)
_MERGING = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
_NORMALIZING = ("BatchNormalization",)


@dataclass(frozen=True)
class Repair:
    """One difference between old Keras and Keras 3, and its mend.

    Attributes:
        name: what was different.
        mend: changes a layer in place.
        kinds: classes it is for; empty for all.
    """

    name: str
    mend: Callable[[OldLayer], None]
    kinds: tuple[str, ...] = ()


def repaired(kind: str, config: dict[str, Any], writer: Writer) -> OldLayer:
    """Return a layer of Keras's own as Keras 3 takes it, except for what is nested in it.

    Raises:
        Unsupported: it does what no layer of Keras 3 does.
    """
    layer = OldLayer(kind, dict(config), writer)
    for repair in REPAIRS:
        if not repair.kinds or layer.kind in repair.kinds:
            repair.mend(layer)
    return layer


REPAIRS: tuple[Repair, ...] = (
    Repair("names and arguments of Keras 1", mends.keras_1),
    Repair("classes that were renamed", mends.rename),
    Repair("initializers, regularizers and constraints matter in training", mends.drop_training),
    Repair("wrapped numbers, tuples and lists", mends.unwrap_values),
    Repair("dtype as the configuration of a policy", mends.name_dtype),
    Repair("layers that act in training only", mends.pass_through, _TRAINING_ONLY),
    Repair("data_format left to the writer's settings", mends.settle_data_format),
    Repair("epsilon of the fused kernel", mends.fused_epsilon, _NORMALIZING),
    Repair("virtual_batch_size adds an axis", mends.virtual_batches, _NORMALIZING),
    Repair("renorm matters in training", mends.renorm, _NORMALIZING),
    Repair("axis as a list", mends.axes, _NORMALIZING),
    Repair("masks of merged layers meet", mends.meeting_masks, _MERGING),
    Repair("masked steps of Bidirectional", mends.repeated_output, ("Bidirectional",)),
    Repair("alpha is called negative_slope", mends.leaky_slope, ("LeakyReLU",)),
    Repair("ThresholdedReLU went", mends.thresholded, ("ThresholdedReLU",)),
    Repair("bilinear UpSampling2D from the corner", mends.corner_anchored, ("UpSampling2D",)),
    Repair("recurrent layers of cuDNN went", mends.cudnn, ("CuDNNLSTM", "CuDNNGRU")),
    Repair("reset_after was False", mends.reset_before, ("GRU", "GRUCell")),
    Repair("arguments of CategoryEncoding", mends.category_encoding, ("CategoryEncoding",)),
    Repair("sparse and ragged inputs", mends.refuse_sparse, ("InputLayer",)),
)
