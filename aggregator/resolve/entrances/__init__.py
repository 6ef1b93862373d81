"""How pods are reached, as the cluster's API tells: by ways in from outside, and by who looks after them. Pure."""
