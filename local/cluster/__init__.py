"""The platform on Kubernetes, for `make demo-up` and its companions: it uses whatever cluster KUBECONFIG points to."""
