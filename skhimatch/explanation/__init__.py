"""Why a text gets its labels, and what a classifier knows of a label."""
