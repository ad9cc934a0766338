"""The event model and the normalising of what SDKs send. Pure; the lowest layer."""
