"""The questions people have, each a frozen dataclass with `select()` and `run()`."""
