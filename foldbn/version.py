"""The version of foldbn, and nothing else: the build reads this file too."""

__version__ = "0.1.0"
