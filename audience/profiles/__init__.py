"""What a profile is: its traits, its memberships, its version. Pure."""
