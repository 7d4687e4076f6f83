"""Results of queries as text for people: the agreement of a step, and a methods paragraph."""
