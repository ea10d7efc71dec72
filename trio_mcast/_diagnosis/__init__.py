"""Why nothing arrives: evidence is gathered, and pure rules judge it."""
