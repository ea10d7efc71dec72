"""The two-ended probe and its responder: what both ends say to each other, and who answers."""
