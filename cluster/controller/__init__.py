"""cluster.controller"""
