"""One page of HTML about a classifier on texts with known labels."""
