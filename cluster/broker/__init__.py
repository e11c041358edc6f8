"""cluster.broker"""
