"""From planned events to Lago: each exactly once, or a person has to look."""
