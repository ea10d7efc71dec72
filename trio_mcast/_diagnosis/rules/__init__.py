"""The rules: one function for each code, which looks at evidence and at nothing else. Pure."""
