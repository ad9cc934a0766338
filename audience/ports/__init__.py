"""What the platform needs of the outside, as protocols. Adapters implement them; nothing here does I/O."""
