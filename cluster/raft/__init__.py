"""Consensus for one partition: no I/O, no clock, no chance, no payload. (contract being written)"""
