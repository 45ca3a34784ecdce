"""A layer as an old Keras configured it, while it is being mended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foldbn.frontends.legacy.writers import Writer


@dataclass
class OldLayer:
    """A layer on its way to Keras 3.

    Attributes:
        kind: its class.
        config: its arguments; repairs change them in place.
        writer: who wrote them.
        own: which of foldbn's layers to build, where Keras 3 has none.
        mixin: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    output_shape: what it says of its output, where it does.
    """

    kind: str
    config: dict[str, Any]
    writer: Writer
    own: str | None = None
    mixin: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    output_shape: list[int | None] | None = None
