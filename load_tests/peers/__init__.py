"""Other ways to do the same work, each written as its own guide has it."""
