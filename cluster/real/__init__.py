"""cluster.real"""
