"""Files that must survive whatever happens to the process that writes them.

Standard library only: the command uses this too, and it imports no framework.
"""

from foldbn.files.claims import Claim, claim, release, sweep
from foldbn.files.publishing import is_published, publish, roll_back

HIDDEN = ".foldbn-"  # so begin the folders in which artefacts wait

__all__ = ["HIDDEN", "Claim", "claim", "is_published", "publish", "release", "roll_back", "sweep"]
