"""Tests of foldbn.verification."""
