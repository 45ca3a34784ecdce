"""Tests of foldbn.worker."""
