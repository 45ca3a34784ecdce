"""Tests of the folded graph as a SavedModel."""
