"""A real Kubernetes on this machine: control plane and nodes in namespaces of their own, from published modules."""
