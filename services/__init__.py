"""One package for each deployable service, and `_kit`, which they share. Services never import each other."""
