"""The broker: replicas of partitions, and the requests of clients for them. `replica` is the heart."""
