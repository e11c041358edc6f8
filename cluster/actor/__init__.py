"""cluster.actor"""
