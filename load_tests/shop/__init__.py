"""A believable shop by a seed: its customers' visits as events, and the segments that it would ask for."""
