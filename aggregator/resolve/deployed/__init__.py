"""What the cluster's API says is deployed: specs of workloads, who changed what of them, and how far a rollout is.

Not here: asking the API (clusterwatch), whose traffic it is (the rest of resolve), judgement (insight).
"""
