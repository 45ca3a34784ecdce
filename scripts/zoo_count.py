"""Plan and carry out the folding of a Keras file, write nothing, and print counts and seconds.

Run it with ``.venv/bin/python scripts/zoo_count.py MODEL``. ``fold`` is reading the graph,
planning, applying and writing the folded graph; ``load`` is all that comes before.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from foldbn.pipeline.steps import Choices, Clock, load_and_fold, silent
from foldbn.results import Summary


def main() -> None:
    """Print one JSON document."""
    clock = Clock(silent)
    folded = load_and_fold(Path(sys.argv[1]), Choices(), clock)
    summary = asdict(Summary.of(folded.decisions))
    print(json.dumps({"summary": summary, "timings_s": clock.seconds}))


if __name__ == "__main__":
    main()
