"""Tests of conversion, from a model file to the artefacts under their final names."""
