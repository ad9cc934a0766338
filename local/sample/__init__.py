"""The platform's main job on real input: the CDNOW purchase history, five segments, and the proof of their sizes."""
