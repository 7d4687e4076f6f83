"""Results of queries as text to read: the agreement of a step, and its methods paragraph."""
