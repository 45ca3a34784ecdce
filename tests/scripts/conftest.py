"""Put the scripts on the path: they are programs, and import each other by their bare names."""

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
