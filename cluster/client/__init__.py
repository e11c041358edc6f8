"""cluster.client"""
