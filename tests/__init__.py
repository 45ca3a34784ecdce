"""Tests of foldbn, laid out like the package."""
