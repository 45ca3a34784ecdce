"""Tests of loading what Keras 1 and 2 saved."""
