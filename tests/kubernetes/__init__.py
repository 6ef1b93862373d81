"""The product as its users run it: the shipped images and chart, in a real Kubernetes, asked from outside."""
