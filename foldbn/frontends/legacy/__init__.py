"""Rebuild what Keras 1 and 2 saved as a Keras 3 model."""
