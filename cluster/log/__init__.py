"""cluster.log"""
