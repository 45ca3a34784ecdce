"""Tests of foldbn.files."""
