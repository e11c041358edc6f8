"""cluster.wire"""
