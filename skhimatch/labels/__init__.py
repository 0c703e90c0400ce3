"""Label hierarchies, training targets and the words of labels."""
