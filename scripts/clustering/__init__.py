"""The pieces of scripts/cluster: a load balancer, the replicas behind it, and a PostgreSQL that they share."""
