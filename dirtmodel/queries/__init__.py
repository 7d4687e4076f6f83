"""The queries: each is a frozen dataclass with `select()` and `run()`."""
