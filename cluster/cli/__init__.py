"""cluster.cli"""
