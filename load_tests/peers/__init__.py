"""What a buyer might pick instead, doing the same work with the same answers."""
