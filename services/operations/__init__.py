"""`audience-ops`: what an operator runs by hand or from a release's hooks. No process of its own."""
