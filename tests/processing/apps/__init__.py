"""Apps that tests run in hosts: each file is deployed as it is, or imported by the simulator."""
