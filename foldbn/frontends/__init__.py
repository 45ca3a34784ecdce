"""From files and frameworks to a graph of ops and back: the only place that knows TensorFlow."""
