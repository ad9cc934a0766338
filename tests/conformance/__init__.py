"""The rule language by example: cases as data, and what reads them."""
