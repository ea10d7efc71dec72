"""The shell on Windows."""
