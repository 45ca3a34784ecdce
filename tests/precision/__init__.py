"""Tests of models of any floating-point precision."""
