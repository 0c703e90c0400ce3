"""Label hierarchies, targets and the texts of labels."""
