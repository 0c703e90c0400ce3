"""Decision rules, metrics and displays."""
