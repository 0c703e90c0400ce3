"""What scores texts against labels: n-grams, names and networks; and how the scores add up."""
