"""Training a network with skorch."""
