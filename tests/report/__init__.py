"""Tests of foldbn.report."""
