"""`audience-ops cluster`: what only the API of Kubernetes can tell or do. It needs the package `kubernetes`."""
