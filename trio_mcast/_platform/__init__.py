"""Names, numbers and structure layouts of each operating system, as data. Pure."""
