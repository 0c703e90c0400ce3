"""Training of a classifier: from texts and parameters to a `FittedState`."""
