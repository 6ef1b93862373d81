"""What the cluster's API says that workloads were given: requests and limits, replicas, an autoscaler; and how their
containers fare. What they use is the agents' matter (topology/usage.py); what is deployed, deployed's.
"""
