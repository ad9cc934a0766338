"""The streaming job: customer events in, each profile's state kept, memberships out as events and time move them."""
